import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { KeyRing, MemoryStore, Revocations, SslContext } from '../../../src/index.ts'
import type { SslContextEvent } from '../../../src/session/contracts.ts'
import { afterTest, connect, type Harness, start, TLS12, TLS13, VERSIONS } from '../../tools/node-servers.ts'
import { SECRET, startTicketed } from '../../tools/ticket-servers.ts'

// A function that answers later where an answer is wanted at once, or none, and a clock that has none: the process lives.

const refused = new Error('the owner has failed')
const failing = async (): Promise<never> => {
  throw refused
}

/** The next warning of the process: one that is expected, so that nobody else need hear of it. */
async function nextWarning(): Promise<Error> {
  const [warning] = (await once(process, 'warning')) as [Error]
  return warning
}

describe('an async function of the owner that rejects ends nothing, and is heard', () => {
  test.each(VERSIONS)('onHandshake, %s', async (_name, range) => {
    const harness = await start({ ...range, attach: { onHandshake: failing as never } })
    const [warning, { session }] = await Promise.all([nextWarning(), connect(harness)])
    expect(warning.message).toContain(refused.message)
    const [, { resumed }] = await Promise.all([nextWarning(), connect(harness, session)])
    expect(resumed).toBe(true)
  })

  test.each(VERSIONS)('shouldStore, which keeps nothing, whatever it would say: %s', async (_name, range) => {
    for (const shouldStore of [failing, async () => true]) {
      const harness = await start({ ...range, attach: { shouldStore: shouldStore as never } })
      const [, { session }] = await Promise.all([nextWarning(), connect(harness)])
      expect((await connect(harness, session)).resumed).toBe(false)
      expect(harness.attachment.stats.notKept).toHaveProperty('declined')
    }
  })

  test('a listener of the context, of which the others hear', async () => {
    const harness = await start(TLS12)
    const heard: SslContextEvent[] = []
    harness.context.subscribe((event) => void heard.push(event))
    harness.context.subscribe(failing as never)
    await connect(harness)
    const failures = heard.filter((event) => event.type === 'callback-error')
    expect(failures).not.toEqual([])
    for (const failure of failures)
      expect(failure).toEqual({ type: 'callback-error', callback: 'listener', error: refused })
  })

  test('the callback that says what cannot be resumed, which has said so', async () => {
    const context = new SslContext()
    const heard: SslContextEvent[] = []
    context.subscribe((event) => void heard.push(event))
    context.setNotResumableCallback(failing as never)
    const connection = context.newConnection()
    connection.accept()
    await connection.resumeSession({ protocolVersion: 0x0303, sessionId: new Uint8Array(0) })
    expect(connection.serverHello().ticketExpected).toBe(false)
    expect(connection.session?.isResumable).toBe(false)
    await Promise.resolve()
    await Promise.resolve()
    expect(heard).toContainEqual({ type: 'callback-error', callback: 'not-resumable', error: refused })
  })

  test('onError of Revocations', async () => {
    const store = Object.assign(new MemoryStore(), {
      getMarks: () => {
        throw new Error('the store is down')
      },
    })
    const warning = nextWarning()
    const revocations = new Revocations(store, new KeyRing([SECRET]), { onError: failing as never })
    afterTest(() => void revocations.close())
    expect((await warning).message).toContain(refused.message)
  })
})

describe.each(VERSIONS)('a clock of the owner that fails, %s', (_name, range) => {
  async function startBreakable(
    now: () => number,
  ): Promise<{ harness: Harness; clock: { isBroken: boolean } }> {
    const clock = { isBroken: false }
    const harness = await start({ ...range, context: { now: () => (clock.isBroken ? now() : Date.now()) } })
    return { harness, clock }
  }

  test.each([
    ['throws', failingNow],
    ['is no number', () => Number.NaN],
    ['is of before 1970', () => -1],
  ])('%s: handshakes go on, and are full ones', async (_title, now) => {
    const { harness, clock } = await startBreakable(now)
    clock.isBroken = true
    const [, { resumed }] = await Promise.all([nextWarning(), connect(harness)])
    expect(resumed).toBe(false)
    expect(harness.handshakes[0]).toMatchObject({ outcome: 'full' })
    clock.isBroken = false
    const after = await connect(harness)
    expect((await connect(harness, after.session)).resumed).toBe(true)
  })

  test.each([
    ['throws', failingNow],
    ['is no number', () => Number.NaN],
  ])('%s: nothing is young enough', async (_title, now) => {
    const { harness, clock } = await startBreakable(now)
    const { session } = await connect(harness)
    clock.isBroken = true
    const [, { resumed }] = await Promise.all([nextWarning(), connect(harness, session)])
    expect(resumed).toBe(false)
    expect(harness.handshakes[1]).toMatchObject({ outcome: 'full', reason: 'callback-failed' })
  })
})

test('marks that fail when Node gets the connection resume nothing, and end nothing', async () => {
  let asked = 0
  const objectionTo = (): undefined => {
    // The first question is that of the lookup.
    if (++asked === 2) throw refused
  }
  const harness = await start({ ...TLS13, attach: { revocations: { objectionTo } } })
  const { session } = await connect(harness)
  const [warning, { resumed }] = await Promise.all([nextWarning(), connect(harness, session)])
  expect(warning.message).toContain(refused.message)
  expect(resumed).toBe(false)
  expect(harness.handshakes[1]).toMatchObject({ outcome: 'full', reason: 'callback-failed' })
})

function failingNow(): number {
  throw refused
}

test('a server that is attached no more makes no stateless tickets, for whomever it was to make them', async () => {
  const harness = await startTicketed(TLS13, new KeyRing([SECRET]))
  // Its last listener: the attachment has said by then whose tickets are due.
  harness.server.on('secureConnection', () => harness.attachment[Symbol.dispose]())
  await connect(harness)
  expect(harness.attachment.stats.tickets?.sealed).toBe(0)
})
