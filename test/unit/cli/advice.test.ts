import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { root } from '../../tools/markdown.ts'
import { run } from './run-command.ts'

const source = join(root, 'src')
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
)
const read = (file: string): string => readFileSync(join(source, file), 'utf8')
const library = files
  .filter((file) => !file.startsWith('cli/'))
  .map(read)
  .join('\n')

/** What findings say: the texts in the files that make them. */
const said = files
  .filter((file) => /^cli.*findings\.ts$/.test(file))
  .flatMap((file) => textsIn(ts.createSourceFile(file, read(file), ts.ScriptTarget.ESNext)))
  .filter((text) => text.includes(' '))
  .join('\n')

function textsIn(node: ts.Node): string[] {
  const own = ts.isStringLiteralLike(node) || ts.isTemplateLiteralToken(node) ? [node.text] : []
  const texts = [...own]
  ts.forEachChild(node, (child) => void texts.push(...textsIn(child)))
  return texts
}

/** Of Node, and of servers that are not ours. */
const OF_OTHERS = new Set([
  'ticketKeys',
  'resumeSession',
  'newSession',
  'createServer',
  'createSecureContext',
  'rejectUnauthorized',
  'argv',
  'clientAuth',
])

describe('what the doctor advises is what there is', () => {
  test('options are those of doctor, and of openssl where it is named', async () => {
    const { stdout } = await run(['doctor', '--help'])
    const options = [...new Set(said.match(/--[a-z-]+/g))]
    expect(options.length).toBeGreaterThan(8)
    expect(options.filter((option) => !stdout.includes(option))).toEqual([])
  })

  test('names of this library are in it', () => {
    const names = [...new Set(said.match(/\b[a-z]+[A-Z][A-Za-z]+\b/g))].filter((name) => !OF_OTHERS.has(name))
    expect(names).toContain('attachServer')
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(library))).toEqual([])
  })

  test('is what one would take today: the one object for each side', () => {
    for (const name of ['ServerSessions', 'ClientSessions']) {
      expect(said).toContain(`${name} of sslctx`)
      expect(library).toContain(`export class ${name} `)
    }
    expect(said).toContain('without a store')
  })

  test('reasons that it cites are those of a handshake', () => {
    for (const reason of ['policy-changed', 'expired'])
      if (said.includes(reason)) expect(library).toContain(`'${reason}'`)
  })
})
