import { once } from 'node:events'
import { beforeAll, describe, expect, test } from 'vitest'
import { certificate } from '../../tools/node-servers.ts'
import { forkScript } from '../../tools/server-process.ts'
import { differences } from '../../tools/socket-answers.ts'
import type { Departure, FromDepartures, Heard } from './leaving-clients-server.ts'

/** What came of one departure: what its listeners heard, or how it ended the process. */
type Outcome = Heard & { readonly uncaught: readonly string[]; readonly end?: string }

const SERVERS = ['tls', 'https', 'http2'] as const
const FAREWELLS = ['FIN', 'RST'] as const
const MOMENTS = [
  ['before its first byte', 0, false],
  ['after one byte', 1, false],
  ['in mid-hello', 100, false],
  ['after its hello', 'hello', false],
  ['during an awaited lookup', 'hello', true],
] as const

const departures: readonly (Departure & { readonly title: string })[] = SERVERS.flatMap((server) =>
  FAREWELLS.flatMap((farewell) =>
    MOMENTS.map(([moment, sent, isLookedUp]) => ({
      server,
      sent,
      farewell,
      isLookedUp,
      title: `${server}: ${farewell} ${moment}`,
    })),
  ),
)

/** In processes of their own, since what is asked here has ended some by a signal: another one takes over then. */
async function outcomes(isAttached: boolean): Promise<readonly Outcome[]> {
  const all: Outcome[] = []
  while (all.length < departures.length) {
    const heard = await outcomesUntilItEnds(isAttached, departures.slice(all.length))
    all.push(...heard)
  }
  return all
}

async function outcomesUntilItEnds(
  isAttached: boolean,
  rest: readonly Departure[],
): Promise<readonly Outcome[]> {
  const child = forkScript(new URL('./leaving-clients-server.ts', import.meta.url), {
    stdout: 'ignore',
    stderr: 'pipe',
  })
  let asked = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    asked = `${asked}${chunk.toString()}`.slice(-200)
  })
  const found: Outcome[] = []
  let uncaught: string[] = []
  child.on('message', (message: FromDepartures) => {
    if (message.type === 'uncaught') uncaught.push(message.error)
    else {
      found.push({ ...message.heard, uncaught })
      uncaught = []
    }
  })
  child.send({ certificate, isAttached, departures: rest })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (found.length === rest.length) return found
  return [
    ...found,
    { events: [], uncaught, end: `${signal ?? code}, asked: ${asked.trim().split('\n').at(-1)}` },
  ]
}

describe('a client leaves before its handshake is over', () => {
  let stock: readonly Outcome[] = []
  let attached: readonly Outcome[] = []
  beforeAll(async () => {
    stock = await outcomes(false)
    attached = await outcomes(true)
  }, 120_000)

  const titled = departures.map(({ title }, index) => [title, index] as const)

  test.each(titled)('%s: the process lives, and nothing is uncaught', (_, index) => {
    expect(stock[index]).toMatchObject({ uncaught: [] })
    expect(stock[index]).not.toHaveProperty('end')
    expect(attached[index]?.end).toBeUndefined()
    expect(attached[index]?.uncaught).toEqual([])
  })

  test.each(titled)(
    '%s: the listeners hear as many events, of the same kind, as in a stock server',
    (_, index) => {
      const heard = (outcome: Outcome | undefined): unknown =>
        outcome?.events.map(({ event, code, answers }) => ({ event, code, is: answers['is'] }))
      expect(heard(stock[index])).not.toEqual([])
      expect(heard(attached[index])).toEqual(heard(stock[index]))
    },
  )

  test.each(titled)(
    '%s: what they get answers every question of a TLSSocket, as in a stock server',
    (_, index) => {
      const expected = stock[index]?.events ?? []
      expect(expected).not.toEqual([])
      expect(expected.map(({ answers }) => answers['is'])).not.toContain('Socket')
      const found = expected.map(({ event, answers }, nth) => [
        event,
        differences(attached[index]?.events[nth]?.answers ?? {}, answers),
      ])
      expect(found).toEqual(expected.map(({ event }) => [event, []]))
    },
  )
})
