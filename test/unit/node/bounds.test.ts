import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { KeyRing } from '../../../src/index.ts'
import type { TlsServer } from '../../../src/node/node-engine.ts'
import { type Binding, bindingContext } from '../../../src/node/session-binding.ts'
import { TicketKeyRing } from '../../../src/node/ticket-keys.ts'
import { TrustProfiles } from '../../../src/node/trust-profile.ts'
import { UsedIds } from '../../../src/node/used-ids.ts'
import { bytes, records } from '../../tools/client-hello-builder.ts'
import { afterTest, certificate, NO_INTERNAL, start } from '../../tools/node-servers.ts'
import { hello13 } from '../../tools/offering-hello.ts'

/** What grows with what clients choose, filled beyond its bound. */

const newProfiles = (): TrustProfiles => new TrustProfiles(tls.createServer(certificate) as TlsServer)

/**
 * @param look - at the thing of a number
 * @returns whether that of number 0 is remembered when so many others have come
 */
function isRemembered(look: (number: number) => unknown, others: number): boolean {
  const first = look(0)
  expect(look(0)).toBe(first)
  for (let number = 1; number <= others; number++) look(number)
  return look(0) === first
}

describe('the profile of a server name', () => {
  test('is remembered for the latest 1,000 names', () => {
    const profiles = newProfiles()
    const look = (number: number): unknown => profiles.of(`name-${number}.example`)
    expect(isRemembered(look, 999)).toBe(true)
    expect(isRemembered(look, 1_000)).toBe(false)
  })
})

describe('the hashes of a binding', () => {
  const profile = newProfiles().of('server.example')
  const bind = (ownPolicy: string): Binding => ({
    ownContext: Buffer.from('bounds'),
    serverName: 'server.example',
    profile,
    ownPolicy,
  })

  test('are remembered for the latest 1,000 answers of a policy', () => {
    const look = (number: number): unknown => bindingContext(bind(`policy ${number}`))
    expect(isRemembered(look, 999)).toBe(true)
    expect(isRemembered(look, 1_000)).toBe(false)
  })

  test('are made each time for an answer beyond 512 characters with its name', () => {
    const binding = bind('x'.repeat(512))
    expect(bindingContext(binding)).not.toBe(bindingContext(binding))
    expect(bindingContext(binding)).toEqual(bindingContext(binding))
  })
})

describe('the keys of tickets', () => {
  const PERIOD_MS = 60_000
  const newRing = (): TicketKeyRing =>
    new TicketKeyRing(new KeyRing([randomBytes(32)]), Buffer.from('bounds'), () => ({
      periodMs: PERIOD_MS,
      lifetimeMs: 10_000 * PERIOD_MS,
    }))

  test.each([
    [999, true],
    [1_000, false],
  ])('are remembered for the latest 1,000 periods: %i others', (others, isKept) => {
    const ring = newRing()
    const { name } = ring.current(0)
    const nowMs = others * PERIOD_MS
    const look = (number: number): unknown =>
      number === 0 ? ring.find(name, nowMs) : ring.current(number * PERIOD_MS)
    expect(isRemembered(look, others)).toBe(isKept)
  })

  test('are remembered of no name that is not theirs', () => {
    const ring = newRing()
    const { name } = ring.current(0)
    const first = ring.find(name, 0)
    for (let forged = 0; forged < 2_000; forged++) expect(ring.find(randomBytes(16), 0)).toBeUndefined()
    expect(ring.find(name, 0)).toBe(first)
  })
})

test('of ids of single use the latest 20,480 are remembered', () => {
  const used = new UsedIds()
  const id = (number: number): Uint8Array => {
    const made = Buffer.alloc(32)
    made.writeUInt32BE(number)
    return made
  }
  for (let number = 0; number < 20_480; number++) used.add(id(number))
  expect(used.has(id(0))).toBe(true)
  used.add(id(20_480))
  expect([0, 1, 20_480].map((number) => used.has(id(number)))).toEqual([false, true, true])
})

test('of what a client sends while it is looked up, about 64 KiB are read', async () => {
  const SENT = 8 * 1024 * 1024
  let release: (found: undefined) => void = () => undefined
  const harness = await start({
    attach: { lookupTimeoutMs: 600_000 },
    context: {
      sessionCacheMode: NO_INTERNAL,
      getSessionCallback: () =>
        new Promise((resolve) => {
          release = resolve
        }),
    },
  })
  const arrived = once(harness.server, 'connection') as Promise<[net.Socket]>
  const client = net.connect(harness.port, '127.0.0.1').on('error', () => undefined)
  afterTest(() => client.destroy())
  client.write(records(hello13({ identity: bytes(32) })))
  client.write(Buffer.alloc(SENT))
  const [raw] = await arrived
  let last = -1
  for (let calm = 0; calm < 50; calm++) {
    if (raw.bytesRead !== last) calm = 0
    last = raw.bytesRead
    await new Promise((resolve) => setImmediate(resolve))
  }
  // What Node reads at once comes on top.
  expect(last).toBeGreaterThan(60_000)
  expect(last).toBeLessThan(4 * 65_536)
  const closed = once(raw, 'close')
  release(undefined)
  await closed
})
