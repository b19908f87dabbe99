import { A_FUNCTION, checkMethods, checkOptions } from '../session/arguments.ts'
import type { Awaitable } from '../session/awaitable.ts'
import type { SessionStore, StoreEntry } from '../session/session-store.ts'

/** One statement of the contract. */
export interface StoreConformanceCase {
  /** A sentence about the store. */
  readonly title: string
  /** Rejects with an Error that says what was expected, and what was got. */
  run(): Promise<void>
}

/** What the suite needs to know. */
export interface StoreConformanceOptions {
  /**
   * Opens the store under test. What is opened under one name shares one set of sessions and marks, as two processes do; under
   * another name there is another set, which is empty at first.
   */
  open(name: string): Awaitable<SessionStore>
  /** Cryptographically strong or not, but never the same twice. */
  randomBytes(length: number): Uint8Array
}

/**
 * The contract of {@link SessionStore} as tests, for any test runner:
 *
 * ```ts
 * for (const { title, run } of storeConformance({ open, randomBytes })) test(title, run)
 * ```
 *
 * The suite closes the stores it opens. It waits for nothing but the store's own answers.
 *
 * @throws `ArgumentError` without one of the two options, and for an unknown one
 */
export function storeConformance(options: StoreConformanceOptions): readonly StoreConformanceCase[] {
  checkOptions('storeConformance', options, { open: A_FUNCTION, randomBytes: A_FUNCTION })
  checkMethods('the options of storeConformance', options, ['open', 'randomBytes'], 'open and randomBytes')
  return [...sessionCases, ...takeCases, ...markCases].map(([title, check]) => ({
    title,
    run: () => withTwoHandles(options, check),
  }))
}

/** Two handles of one store, as two processes have them, and a source of keys. */
interface Bench {
  readonly here: SessionStore
  readonly there: SessionStore
  random(length: number): Uint8Array
}
type Check = (bench: Bench) => Promise<void>

async function withTwoHandles({ open, randomBytes }: StoreConformanceOptions, check: Check): Promise<void> {
  const name = [...randomBytes(8)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const here = await open(name)
  const there = await open(name)
  try {
    await check({ here, there, random: randomBytes })
  } finally {
    await here.close()
    await there.close()
  }
}

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** Node's limit for a session, and room for a seal. */
const LARGEST_VALUE = 11 * 1024

function inAnHour(key: Uint8Array, value: Uint8Array): StoreEntry {
  return { key, value, expiresAtMs: Date.now() + 60 * MINUTE_MS }
}

const sessionCases: readonly (readonly [string, Check])[] = [
  [
    'gives back every byte of what was set, here and to others',
    async ({ here, there, random }) => {
      const key = random(32)
      const value = Uint8Array.from({ length: 512 }, (_, index) => index % 256)
      await here.set([inAnHour(key, value)])
      equal(await here.get(key), value, 'the value')
      equal(await there.get(key), value, 'the value, seen by another')
    },
  ],
  [
    'keeps values of 1 byte and of 11 KiB',
    async ({ here, random }) => {
      for (const length of [1, LARGEST_VALUE]) {
        const key = random(32)
        const value = random(length)
        await here.set([inAnHour(key, value)])
        equal(await here.get(key), value, `a value of ${length} bytes`)
      }
    },
  ],
  [
    'takes keys of 1 to 64 bytes of any value, and tells them apart',
    async ({ here, random }) => {
      const keys = [
        ...[1, 2, 31, 33, 64].map((length) => random(length)),
        ...[0x00, 0x0a, 0x0d, 0x20, 0x7f, 0xff].flatMap((byte) => [
          new Uint8Array(32).fill(byte),
          new Uint8Array(31).fill(byte),
        ]),
      ]
      await here.set(keys.map((key, index) => inAnHour(key, Uint8Array.of(index))))
      for (const [index, key] of keys.entries())
        equal(await here.get(key), Uint8Array.of(index), `the value of key ${index}`)
    },
  ],
  [
    'answers undefined for keys that nobody has set',
    async ({ here, random }) => {
      for (const length of [1, 31, 32, 64]) equal(await here.get(random(length)), undefined, 'an unknown key')
    },
  ],
  [
    'sets several entries in one call, and none in an empty one',
    async ({ here, there, random }) => {
      const entries = Array.from({ length: 100 }, () => inAnHour(random(32), random(200)))
      await here.set([])
      await here.set(entries)
      for (const { key, value } of entries) equal(await there.get(key), value, 'one of several')
    },
  ],
  [
    'replaces what has the same key',
    async ({ here, there, random }) => {
      const key = random(32)
      await here.set([inAnHour(key, Uint8Array.of(1))])
      await there.set([inAnHour(key, Uint8Array.of(2))])
      equal(await here.get(key), Uint8Array.of(2), 'the value')
    },
  ],
  [
    'keeps what expires in 60 days, and what never does',
    async ({ here, random }) => {
      for (const expiresAtMs of [Date.now() + 60 * DAY_MS, Number.POSITIVE_INFINITY]) {
        const key = random(32)
        await here.set([{ key, value: Uint8Array.of(1), expiresAtMs }])
        equal(await here.get(key), Uint8Array.of(1), 'the value')
      }
    },
  ],
  [
    'does not keep what has expired already, nor what that replaces',
    async ({ here, random }) => {
      const key = random(32)
      await here.set([inAnHour(key, Uint8Array.of(1))])
      await here.set([{ key, value: Uint8Array.of(2), expiresAtMs: Date.now() - MINUTE_MS }])
      equal(await here.get(key), undefined, 'the value')
    },
  ],
  [
    'deletes for all, and what is not there without an error',
    async ({ here, there, random }) => {
      const key = random(32)
      await here.set([inAnHour(key, Uint8Array.of(1))])
      await there.delete(key)
      await there.delete(key)
      equal(await here.get(key), undefined, 'the value')
    },
  ],
  [
    'hands out bytes that their owner may change',
    async ({ here, random }) => {
      const key = random(32)
      const value = random(100)
      await here.set([inAnHour(key, value)])
      ;(await here.get(key))?.fill(0)
      equal(await here.get(key), value, 'the value')
    },
  ],
]

const takeCases: readonly (readonly [string, Check])[] = [
  [
    'gives what is taken once, and has it no more',
    async ({ here, there, random }) => {
      const key = random(32)
      const value = random(200)
      await here.set([inAnHour(key, value)])
      equal(await there.take(key), value, 'the first take')
      equal(await there.take(key), undefined, 'the second take')
      equal(await here.take(key), undefined, 'the take of another')
      equal(await here.get(key), undefined, 'the value')
    },
  ],
  [
    'answers undefined to a take of what nobody has set',
    async ({ here, random }) => {
      equal(await here.take(random(32)), undefined, 'an unknown key')
    },
  ],
  [
    'lets exactly one of many takers win',
    async ({ here, there, random }) => {
      for (let round = 0; round < 50; round++) {
        const key = random(32)
        const value = random(50)
        await here.set([inAnHour(key, value)])
        const takes = [here, there, there, here, here, there].map(async (store) => store.take(key))
        const taken = (await Promise.all(takes)).filter((answer) => answer !== undefined)
        equal(taken.length, 1, 'the number of winners')
        equal(taken[0], value, 'what the winner got')
      }
    },
  ],
]

const markCases: readonly (readonly [string, Check])[] = [
  [
    'has undefined for marks before there are any',
    async ({ here }) => {
      equal(await here.getMarks(), undefined, 'the marks')
    },
  ],
  [
    'keeps marks of any bytes, each once, for all',
    async ({ here, there, random }) => {
      const marks = [random(64), random(44), Uint8Array.of(0), Uint8Array.of(0, 0x0a, 0x20, 0xff)]
      const expiresAtMs = Date.now() + 8 * DAY_MS
      await here.addMarks(marks.map((mark) => ({ mark, expiresAtMs })))
      await there.addMarks([{ mark: marks[0] as Uint8Array, expiresAtMs }])
      for (const store of [here, there]) equal(sorted(await store.getMarks()), sorted(marks), 'the marks')
    },
  ],
  [
    'keeps a mark that never expires beside one that has expired',
    async ({ here, there, random }) => {
      const lasting = random(44)
      await here.addMarks([{ mark: lasting, expiresAtMs: Number.POSITIVE_INFINITY }])
      await there.addMarks([{ mark: random(44), expiresAtMs: Date.now() - MINUTE_MS }])
      const marks = sorted(await here.getMarks())
      equal(marks.includes(String([...lasting])), true, 'whether the lasting one is there')
    },
  ],
  [
    'loses none of the marks that are added at the same time',
    async ({ here, there, random }) => {
      const marks = Array.from({ length: 40 }, () => random(44))
      const expiresAtMs = Date.now() + DAY_MS
      await Promise.all(
        marks.map(async (mark, index) => (index % 2 ? here : there).addMarks([{ mark, expiresAtMs }])),
      )
      equal(sorted(await here.getMarks()), sorted(marks), 'the marks')
    },
  ],
  [
    'tells those who watch of a mark that another adds, if it can push',
    async ({ here, there, random }) => {
      if (here.watchMarks === undefined) return
      const mark = random(44)
      let hear: (mark: Uint8Array) => void = () => undefined
      const heard = new Promise<Uint8Array>((resolve) => {
        hear = resolve
      })
      const end = await here.watchMarks(hear)
      await there.addMarks([{ mark, expiresAtMs: Date.now() + DAY_MS }])
      equal(await heard, mark, 'the mark')
      await end()
    },
  ],
]

function sorted(marks: readonly Uint8Array[] | undefined): string[] {
  return (marks ?? []).map((mark) => String([...mark])).sort()
}

function equal(actual: unknown, expected: unknown, what: string): void {
  const [got, wanted] = [describe(actual), describe(expected)]
  if (got !== wanted) throw new Error(`${what}: expected ${wanted}, got ${got}`)
}

function describe(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.length} bytes [${[...value].join(' ')}]`
  return value === undefined ? 'undefined' : JSON.stringify(value)
}
