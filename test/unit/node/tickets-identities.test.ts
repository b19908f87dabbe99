import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { KeyRing } from '../../../src/index.ts'
import { openTicket } from '../../../src/node/stateless-ticket.ts'
import { TicketKeyRing } from '../../../src/node/ticket-keys.ts'
import { connect, NAME, type StartOptions } from '../../tools/node-servers.ts'
import { SECRET, startTicketed } from '../../tools/ticket-servers.ts'
import { offer, type Psk, ticketPsk } from './offering-client.ts'

const OTHER_NAME = 'other.example'

/** A ticket that this server refuses: under another secret. */
async function foreignTicket(): Promise<Psk> {
  const foreign = await startTicketed({}, new KeyRing([randomBytes(32)]))
  return ticketPsk((await connect(foreign)).session)
}

/** Of the session in a ticket of this fleet. */
function sessionIdIn(psk: Psk | undefined): string {
  const keyRing = new TicketKeyRing(new KeyRing([SECRET]), new Uint8Array(0), () => ({
    periodMs: 3_600_000,
    lifetimeMs: 3_600_000,
  }))
  const opened = openTicket(psk!.identity, keyRing, Date.now())
  return Buffer.from(opened!.session.sessionId).toString('hex')
}

function altered(psk: Psk): Psk {
  const identity = Uint8Array.from(psk.identity)
  identity[identity.length - 1]! ^= 1
  return { ...psk, identity }
}

describe('of several identities in one ClientHello', () => {
  test('the first is taken when all are good', async () => {
    const harness = await startTicketed()
    const { sessions } = await connect(harness)
    expect(await offer(harness, sessions.map(ticketPsk))).toBe(0)
  })

  test('a judged ticket is taken after one that does not open, one that was altered, and one that is none', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    const good = ticketPsk(session)
    const others = [await foreignTicket(), altered(good), { ...good, identity: randomBytes(32) }]
    for (const other of others) expect(await offer(harness, [other, good])).toBe(1)
    expect(await offer(harness, [...others, good])).toBe(3)
  })

  test('a judged ticket is taken after one that opens and is refused, whatever they are bound to', async () => {
    const harness = await startTicketed()
    const elsewhere = await connect(harness, undefined, {
      servername: OTHER_NAME,
      checkServerIdentity: () => undefined,
    })
    const { session } = await connect(harness)
    const both = [ticketPsk(elsewhere.session), ticketPsk(session)]
    expect(await offer(harness, both)).toBe(1)
    expect(await offer(harness, both, { servername: OTHER_NAME })).toBe(0)
    expect(await offer(harness, both, { servername: 'third.example' })).toBeUndefined()
  })

  test.each([
    ['at once', (answer: string | false) => answer],
    ['later', (answer: string | false) => setImmediate(answer)],
  ])('the first that the policy likes is taken, when it answers %s', async (_title, answer) => {
    const refused: string[] = []
    const harness = await startTicketed({
      attach: {
        policy: (_name, { sessionId }) =>
          answer(refused.includes(Buffer.from(sessionId).toString('hex')) ? false : 'trust'),
      },
    })
    const { sessions } = await connect(harness)
    const both = sessions.map(ticketPsk)
    expect(await offer(harness, both)).toBe(0)
    refused.push(sessionIdIn(both[0]))
    expect(await offer(harness, both)).toBe(1)
    refused.push(sessionIdIn(both[1]))
    expect(await offer(harness, both)).toBeUndefined()
  })

  test('no more than four are looked at', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    const good = ticketPsk(session)
    const foreign = await foreignTicket()
    expect(await offer(harness, [foreign, foreign, foreign, good])).toBe(3)
    expect(await offer(harness, [foreign, foreign, foreign, foreign, good])).toBeUndefined()
  })

  test('it does not matter in how many records they come, nor whether there is a legacy session id', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    const both = [await foreignTicket(), ticketPsk(session)]
    for (const settings of [{ sessionId: Buffer.alloc(0) }, { recordLength: 100 }, { recordLength: 1 }])
      expect(await offer(harness, both, settings)).toBe(1)
    expect(await offer(harness, both, { sessionId: Buffer.alloc(0), recordLength: 64 })).toBe(1)
  })

  test('an external PSK is taken in its turn, and a ticket in its own', async () => {
    const key = randomBytes(32)
    const withPsk: StartOptions = {
      server: {
        ciphers: 'TLS_AES_128_GCM_SHA256:PSK',
        pskCallback: (_socket, identity) => (identity === 'outside' ? key : null),
      },
    }
    const harness = await startTicketed(withPsk)
    const { session } = await connect(harness, undefined, { servername: NAME })
    const ticket = ticketPsk(session)
    const external = (identity: string): Psk => ({
      identity: Buffer.from(identity),
      key,
      hash: 'sha256',
      binder: 'ext binder',
    })
    expect(await offer(harness, [external('outside'), ticket])).toBe(0)
    expect(await offer(harness, [external('nobody'), ticket])).toBe(1)
    expect(await offer(harness, [altered(ticket), external('outside')])).toBe(1)
    expect(await offer(harness, [ticket, external('outside')])).toBe(0)
  })

  test('a full handshake follows when none is good', async () => {
    const harness = await startTicketed()
    expect(await offer(harness, [])).toBeUndefined()
    const foreign = await foreignTicket()
    expect(await offer(harness, [foreign, foreign])).toBeUndefined()
  })
})
