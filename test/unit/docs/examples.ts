import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import ts from 'typescript'
import { type Fence, root } from '../../tools/markdown.ts'

/** A value that `sslctx` exports, and the examples of its docstring. */
export interface ExportedValue {
  readonly name: string
  readonly examples: readonly Fence[]
}

/** The functions, classes and constants of `sslctx`, in the order of src/index.ts. */
export function exportedValues(): readonly ExportedValue[] {
  const index = join(root, 'src/index.ts')
  const program = ts.createProgram([index], { allowImportingTsExtensions: true, noEmit: true, noLib: true })
  const checker = program.getTypeChecker()
  const file = program.getSourceFile(index)
  const module = file && checker.getSymbolAtLocation(file)
  if (module === undefined) throw new Error('src/index.ts exports nothing')
  return checker.getExportsOfModule(module).flatMap((symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
    if ((target.flags & ts.SymbolFlags.Value) === 0) return []
    return [{ name: symbol.name, examples: (target.declarations ?? []).flatMap(examplesOf) }]
  })
}

function examplesOf(declaration: ts.Declaration): readonly Fence[] {
  const file = declaration.getSourceFile()
  const text = readFileSync(file.fileName, 'utf8')
  return ts.getJSDocTags(declaration).flatMap((tag) => {
    if (tag.tagName.text !== 'example') return []
    const comment = ts.getTextOfJSDocComment(tag.comment) ?? ''
    const [, language = '', code = ''] = /^```(\w+)\n([\s\S]*?)^```$/m.exec(comment) ?? []
    const line = text.slice(0, tag.getStart()).split('\n').length
    return [{ place: `${relative(root, file.fileName)}:${line + 2}`, language, code, remark: undefined }]
  })
}
