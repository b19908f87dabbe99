import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { root } from './markdown.ts'

/** The string literals that a type of src/ lists, other types in it left out. */
export function unionIn(file: string, name: string): readonly string[] {
  const source = ts.createSourceFile(file, sourceOf(file), ts.ScriptTarget.ESNext)
  const alias = source.statements.find((node) => ts.isTypeAliasDeclaration(node) && node.name.text === name)
  if (alias === undefined || !ts.isTypeAliasDeclaration(alias) || !ts.isUnionTypeNode(alias.type))
    throw new Error(`${file} has no union ${name}`)
  return alias.type.types.flatMap((type) =>
    ts.isLiteralTypeNode(type) && ts.isStringLiteral(type.literal) ? [type.literal.text] : [],
  )
}

/** The codes of all errors. */
export function errorCodes(): readonly string[] {
  const codes = [...sourceOf('errors.ts').matchAll(/'(ERR_[A-Z_]+)'/g)].map(([, code = '']) => code)
  return [...new Set(codes)]
}

function sourceOf(file: string): string {
  return readFileSync(join(root, 'src', file), 'utf8')
}
