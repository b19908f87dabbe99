import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { root } from '../../tools/markdown.ts'

/** Names that a snippet may use without importing them, since another one on its page shows where they are from. */
const IMPORTS: Readonly<Record<string, string>> = {
  attachServer: "import { attachServer } from 'sslctx'",
  serverOptions: "import { serverOptions } from 'sslctx'",
  https: "import https from 'node:https'",
  fastify: "import fastify from 'fastify'",
  express: "import express from 'express'",
  NestFactory: "import { NestFactory } from '@nestjs/core'",
  AppModule: `import { AppModule } from '${here('nest-module.ts')}'`,
}

/** What given.ts exports. */
const GIVEN = exportsOf('given.ts')

function exportsOf(file: string): ReadonlySet<string> {
  const text = readFileSync(here(file), 'utf8')
  const found = [...text.matchAll(/^export (?:const|function) (?:\{(.*?)\}|(\w+))/gm)]
  return new Set(found.flatMap(([, several, one = '']) => several?.trim().split(', ') ?? [one]))
}

/** What given-clients.ts exports: for the snippets with this remark, and on its page for no others. */
const CLIENT = 'client'
const GIVEN_TO_CLIENTS = exportsOf('given-clients.ts')

const RESUMES = 'resumes: '

/**
 * The snippet after one line with what it takes as given, and before one that puts it to work.
 *
 * @param remark - `resumes: TLSv1.2` for a server that does not resume in both versions; `client` for a client
 * @param imported - names of `sslctx` that it may use without importing them
 */
export function programOf(code: string, remark: string | undefined, imported: readonly string[]): string {
  const names = namesIn(code)
  const wanted = [...names].flatMap(([name, isDeclared]) => (isDeclared ? [] : [name]))
  const isClient = remark === CLIENT
  const given = wanted.filter((name) => (isClient ? GIVEN_TO_CLIENTS : GIVEN).has(name))
  const imports = wanted.flatMap((name) => {
    if (imported.includes(name)) return [`import { ${name} } from 'sslctx'`]
    return Object.hasOwn(IMPORTS, name) ? [IMPORTS[name]] : []
  })
  if (given.length > 0)
    imports.push(`import { ${given.join(', ')} } from '${here(isClient ? 'given-clients.ts' : 'given.ts')}'`)
  imports.push(`import { exercise as exerciseSnippet } from '${here('exercise.ts')}'`)
  const subject = isClient
    ? undefined
    : ['server', 'app'].find((name) => names.get(name) === true || given.includes(name))
  const versions = remark?.startsWith(RESUMES) === true ? remark.slice(RESUMES.length) : 'TLSv1.2, TLSv1.3'
  const expected = JSON.stringify(versions === 'never' ? [] : versions.split(', '))
  return `${imports.join('; ')}\n${code}\nawait exerciseSnippet(${subject}, ${expected})\n`
}

/** Each identifier of the code that is no name of a property, by whether the code declares it. */
function namesIn(code: string): ReadonlyMap<string, boolean> {
  const names = new Map<string, boolean>()
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && !isPropertyName(node))
      names.set(node.text, isDeclared(node) || names.get(node.text) === true)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile('snippet.ts', code, ts.ScriptTarget.ESNext, true))
  return names
}

function isPropertyName(node: ts.Identifier): boolean {
  const { parent } = node
  return (
    (ts.isPropertyAccessExpression(parent) ||
      ts.isPropertyAssignment(parent) ||
      ts.isMethodDeclaration(parent)) &&
    parent.name === node
  )
}

function isDeclared(node: ts.Identifier): boolean {
  const { parent } = node
  return 'name' in parent && parent.name === node && !ts.isShorthandPropertyAssignment(parent)
}

function here(name: string): string {
  return join(root, 'test/unit/docs', name)
}
