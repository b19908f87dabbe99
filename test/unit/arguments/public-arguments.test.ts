import { readFileSync, rmSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { lmdbFolder } from './engines.ts'
import { JUNK, JUNK_KINDS, type JunkKind } from './junk.ts'
import { type Argument, closeAll, PUBLIC_CALLS, type PublicCall, type PublicCalls } from './public-calls.ts'

const root = new URL('../../../', import.meta.url)

/** Every code that the documentation names. */
const DOCUMENTED = new Set(
  readFileSync(new URL('docs/errors.md', root), 'utf8')
    .split('\n')
    .flatMap((line) => /^### (ERR_\w+)$/.exec(line)?.[1] ?? []),
)
/** What JavaScript says by itself. */
const FROM_INSIDE =
  /Cannot (read|destructure|convert|mix|access|set)|is not (a function|iterable|defined|a constructor)|in operator|private (member|method)|The "\w+" argument/

/** Who is good for them is not to be had here: what only a context makes, and a server of memcached. */
const NEEDS_MORE = /^SslConnection$|^SslConnection::|^memcachedStore\(\)/

const exported = Object.entries(
  (JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { exports: Record<string, object> })
    .exports,
).flatMap(([entry, target]) => {
  const file = (target as { readonly import?: { readonly default: string } }).import?.default
  return file === undefined
    ? []
    : [[entry, file.replace(/^\.\/dist\//, './src/').replace(/js$/, 'ts')] as const]
})

afterAll(async () => {
  await closeAll()
  rmSync(lmdbFolder, { recursive: true })
})

describe.each(exported)('the entry %s', async (entry, file) => {
  const module = (await import(new URL(file, root).href)) as Readonly<Record<string, unknown>>
  const rows: PublicCalls = PUBLIC_CALLS[entry] ?? {}

  test('has a row for everything that it exports', () => {
    const names = Object.entries(module).flatMap(([name, value]) => [name, ...membersOf(name, value)])
    expect(names.filter((name) => rows[name] === undefined)).toEqual([])
  })

  test('has nothing to be called that says it is a constant or an error', () => {
    for (const [name, row] of Object.entries(rows)) {
      if (row === 'a constant') expect(typeof module[name]).toBe('object')
      if (row === 'an error: it is caught, not made')
        expect((module[name] as { prototype: unknown }).prototype).toBeInstanceOf(Error)
    }
  })

  const calls = Object.entries(rows).filter((row): row is [string, PublicCall] => typeof row[1] === 'object')

  test.each(calls.filter(([name]) => !NEEDS_MORE.test(name)))('%s takes what is good', async (_, row) => {
    const problem = await problemWith(() => row.call(...row.arguments.map(({ good }) => good)))
    expect(problem ?? '').toBe('is taken')
  })

  test.each(calls)('%s refuses what it does not take, by a code that is documented', async (_, row) => {
    const problems: string[] = []
    for (const { title, values } of wrongCalls(row)) {
      const problem = await problemWith(() => row.call(...values))
      if (problem !== undefined) problems.push(`${title}: ${problem}`)
    }
    expect(problems).toEqual([])
  })
})

function membersOf(name: string, value: unknown): string[] {
  if (typeof value !== 'function' || value.prototype === undefined || value.prototype instanceof Error)
    return []
  const statics = Object.getOwnPropertyNames(value).filter(
    (member) => typeof Reflect.get(value, member) === 'function',
  )
  return [
    ...methodsOf(value.prototype).map((one) => `${name}.${one}`),
    ...statics.map((one) => `${name}::${one}`),
  ]
}

function methodsOf(prototype: object): string[] {
  const above: object | null = Object.getPrototypeOf(prototype)
  const own = Object.entries(Object.getOwnPropertyDescriptors(prototype))
    .filter(([name, { value }]) => typeof value === 'function' && name !== 'constructor')
    .map(([name]) => name)
  return above === null || above === Object.prototype ? own : [...own, ...methodsOf(above)]
}

interface WrongCall {
  readonly title: string
  readonly values: readonly unknown[]
}

function wrongCalls({ arguments: given }: PublicCall): WrongCall[] {
  const good = given.map((argument) => argument.good)
  const instead = (index: number, value: unknown): unknown[] => good.with(index, value)
  return given.flatMap((argument, index) => [
    ...junkBut(argument.takes).map((kind) => ({
      title: `${kind} as argument ${index}`,
      values: instead(index, JUNK[kind]),
    })),
    ...wrongParts(argument).map(({ title, value }) => ({ title, values: instead(index, value) })),
  ])
}

function wrongParts({
  good,
  parts,
  isOpen,
}: Argument): { readonly title: string; readonly value: unknown }[] {
  if (parts === undefined) return []
  const wrong = Object.entries(parts).flatMap(([name, takes]) =>
    junkBut(takes).map((kind) => ({
      title: `${kind} as ${name}`,
      value: { ...(good as object), [name]: JUNK[kind] },
    })),
  )
  const unknown = ['nonsense', 'toString'].map((name) => ({
    title: `the unknown ${name}`,
    value: { ...(good as object), [name]: 1 },
  }))
  return isOpen === true ? wrong : [...wrong, ...unknown]
}

function junkBut(takes: readonly JunkKind[]): JunkKind[] {
  return JUNK_KINDS.filter((kind) => !takes.includes(kind))
}

/** @returns what is wrong with how a wrong call ends */
async function problemWith(call: () => unknown): Promise<string | undefined> {
  try {
    await call()
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message?: string }
    if (code === undefined || !DOCUMENTED.has(code)) return `${String(error)}, which has no code of ours`
    if (message === undefined || FROM_INSIDE.test(message)) return `says ${message}`
    return undefined
  }
  return 'is taken'
}
