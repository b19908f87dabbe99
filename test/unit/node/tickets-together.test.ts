import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import {
  afterTest,
  certificate,
  connect,
  type Harness,
  NAME,
  reasons,
  type StartOptions,
} from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { offeredTo, startTicketed } from '../../tools/ticket-servers.ts'

const OTHER_NAME = 'other.example'
/** Its clients are asked for another key share. */
const RETRIED: tls.ConnectionOptions = { ecdhCurve: 'X25519:P-256' }
const RETRYING: StartOptions = { server: { ecdhCurve: 'P-256' } }

interface Held {
  readonly client: tls.TLSSocket
  /** Lets go of what the server has said, and waits for the end. @returns whether the client has resumed */
  readonly finish: () => Promise<boolean>
  readonly leave: () => Promise<void>
}

/** A client whose ClientHello the server has answered, but which has not seen the answer. */
async function hold(
  { port, server }: Harness,
  session: Buffer | undefined,
  options: tls.ConnectionOptions = {},
): Promise<Held> {
  const accepted = once(server, 'connection') as Promise<[net.Socket]>
  const raw = net.connect(port, '127.0.0.1')
  let isHeld = true
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk, _encoding, done) => void raw.write(chunk, () => done()),
    final: (done) => void raw.end(done),
  })
  const received: (Buffer | null)[] = []
  const deliver = (): void => {
    for (const chunk of isHeld ? [] : received.splice(0)) socket.push(chunk)
  }
  const take = (chunk: Buffer | null): void => {
    received.push(chunk)
    deliver()
  }
  raw
    .on('data', take)
    .on('end', () => take(null))
    .on('error', () => undefined)
  afterTest(() => raw.destroy())
  const client = tls.connect({
    socket,
    servername: NAME,
    ca: certificate.cert,
    checkServerIdentity: () => undefined,
    ...(session && { session }),
    ...options,
  })
  client.on('error', () => undefined)
  const [serverSide] = await accepted
  await once(raw, 'data')
  return {
    client,
    finish: async () => {
      isHeld = false
      const secured = once(client, 'secureConnect')
      deliver()
      await secured
      const isReused = client.isSessionReused()
      // What the server writes comes after the handshake on its side is over.
      await once(client, 'data')
      client.destroy()
      return isReused
    },
    leave: async () => {
      raw.destroy()
      if (!serverSide.closed) await once(serverSide, 'close')
    },
  }
}

const protocols = Array.from({ length: 100 }, (_, index) => `protocol-${index}`).join()
const elsewhere = { servername: OTHER_NAME }

describe('one ticket on two connections, of which one is refused it:', () => {
  test('the other is refused as well while both are open, and not when the refused one has left', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    const refused = await hold(harness, offeredTo(OTHER_NAME, session), elsewhere)
    const visit = await connect(harness, session)
    expect([visit.resumed, visit.received, reasons(harness).at(-1)]).toEqual([
      false,
      'hello',
      'ticket-contested',
    ])
    await refused.leave()
    expect((await connect(harness, session)).resumed).toBe(true)
  })

  test('the refused one never resumes, whoever came first', async () => {
    const harness = await startTicketed()
    const { session } = await connect(harness)
    const good = await hold(harness, session)
    const refused = await connect(harness, offeredTo(OTHER_NAME, session), {
      ...elsewhere,
      checkServerIdentity: () => undefined,
    })
    expect([refused.resumed, refused.received]).toEqual([false, 'hello'])
    // libssl had its answer before.
    expect(await good.finish()).toBe(true)
    expect(reasons(harness)).toEqual(['not-offered', 'server-name-mismatch', 'ticket'])
  })

  test('with HelloRetryRequests, neither resumes, and nothing breaks', async () => {
    const harness = await startTicketed(RETRYING)
    const { session } = await connect(harness, undefined, RETRIED)
    const good = await hold(harness, session, RETRIED)
    const refused = await hold(harness, offeredTo(OTHER_NAME, session), { ...RETRIED, ...elsewhere })
    expect(await good.finish()).toBe(false)
    expect(await refused.finish()).toBe(false)
    expect(reasons(harness)).toEqual(['not-offered', 'ticket-contested', 'server-name-mismatch'])
  })

  test('with HelloRetryRequests, the good one resumes when the refused one has closed meanwhile', async () => {
    const harness = await startTicketed(RETRYING)
    const { session } = await connect(harness, undefined, RETRIED)
    const good = await hold(harness, session, RETRIED)
    const refused = await hold(harness, offeredTo(OTHER_NAME, session), { ...RETRIED, ...elsewhere })
    await refused.leave()
    expect(await good.finish()).toBe(true)
  })

  test('with HelloRetryRequests, the refused one is refused when the good one has closed meanwhile', async () => {
    const harness = await startTicketed(RETRYING)
    const { session } = await connect(harness, undefined, RETRIED)
    const good = await hold(harness, session, RETRIED)
    const refused = await hold(harness, offeredTo(OTHER_NAME, session), { ...RETRIED, ...elsewhere })
    await good.leave()
    expect(await refused.finish()).toBe(false)
  })
})

test('one ticket on twenty connections at the same time resumes on all of them', async () => {
  const harness = await startTicketed()
  const { session } = await connect(harness)
  const visits = await Promise.all(Array.from({ length: 20 }, () => connect(harness, session)))
  expect(visits.every(({ resumed }) => resumed)).toBe(true)
  expect(harness.attachment.stats.notKept).toEqual({})
})

test('a handshake whose ClientHello was judged goes on when its client is revoked meanwhile, and is its last', async () => {
  let objection: 'revoked' | undefined
  const harness = await startTicketed({ attach: { revocations: { objectionTo: () => objection } } })
  const { session } = await connect(harness)
  const held = await hold(harness, session)
  objection = 'revoked'
  expect(await held.finish()).toBe(true)
  expect((await connect(harness, session)).resumed).toBe(false)
  expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'revoked'])
})

describe('between the ClientHello and the one after a HelloRetryRequest', () => {
  test('marks are looked at again', async () => {
    let objection: 'revoked' | undefined
    const harness = await startTicketed({
      ...RETRYING,
      attach: { revocations: { objectionTo: () => objection } },
    })
    const { session } = await connect(harness, undefined, RETRIED)
    const held = await hold(harness, session, RETRIED)
    objection = 'revoked'
    expect(await held.finish()).toBe(false)
    expect(reasons(harness).at(-1)).toBe('revoked')
  })

  test('an error of the marks refuses the ticket, and the process and the connection live', async () => {
    let isBroken = false
    const revocations = {
      objectionTo: () => {
        if (isBroken) throw new Error('broken')
        return undefined
      },
    }
    const harness = await startTicketed({ ...RETRYING, attach: { revocations } })
    const { session } = await connect(harness, undefined, RETRIED)
    const held = await hold(harness, session, RETRIED)
    isBroken = true
    expect(await held.finish()).toBe(false)
  })

  test('the switch and the trust of the server are looked at again', async () => {
    const harness = await startTicketed(RETRYING)
    const { session } = await connect(harness, undefined, RETRIED)
    const held = await hold(harness, session, RETRIED)
    harness.attachment.enabled = false
    expect(await held.finish()).toBe(false)
    expect(reasons(harness).at(-1)).toBe('disabled')
  })
})

describe('openssl s_client', () => {
  const problem = missingCommand('openssl', 'version')

  function client(harness: Harness): (...options: readonly string[]) => Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'sslctx-'))
    afterTest(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'session')
    let isFirst = true
    return async (...options) => {
      const to = ['-connect', `127.0.0.1:${harness.port}`, '-servername', NAME, '-tls1_3']
      const session = isFirst ? ['-sess_out', file] : ['-sess_in', file, '-sess_out', file]
      isFirst = false
      const child = spawn('openssl', ['s_client', ...to, ...session, ...options])
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString()
      })
      await once(child, 'close')
      return /^(New|Reused), TLSv1\.3/m.exec(output)?.[1] ?? output
    }
  }

  for (const [title, options, server] of [
    ['resumes, and resumes by what it got then', [], {}],
    ['resumes without a legacy session id', ['-no_middlebox'], {}],
    ['resumes when it is asked for another key share', ['-groups', 'X25519:P-256'], RETRYING],
    [
      'resumes without a legacy session id when it is asked for another key share',
      ['-no_middlebox', '-groups', 'X25519:P-256'],
      RETRYING,
    ],
    ['resumes with a ClientHello of several records', ['-max_send_frag', '512', '-alpn', protocols], {}],
  ] as const)
    peerTest(title, problem, async () => {
      const harness = await startTicketed(server)
      const visit = client(harness)
      const visits = [await visit(...options), await visit(...options), await visit(...options)]
      expect(visits).toEqual(['New', 'Reused', 'Reused'])
      expect(reasons(harness)).toEqual(['not-offered', 'ticket', 'ticket'])
    })

  const PSK = '0123456789abcdef0123456789abcdef'
  const WITH_PSK: StartOptions = {
    server: {
      ciphers: 'TLS_AES_128_GCM_SHA256:PSK',
      pskCallback: (_socket, identity) => (identity === 'outside' ? Buffer.from(PSK, 'hex') : null),
    },
  }
  const psk = ['-psk', PSK, '-psk_identity', 'outside', '-ciphersuites', 'TLS_AES_128_GCM_SHA256']

  peerTest('resumes by its ticket when it offers an external PSK as well', problem, async () => {
    const harness = await startTicketed(WITH_PSK)
    const visit = client(harness)
    await visit('-ciphersuites', 'TLS_AES_128_GCM_SHA256')
    expect(await visit(...psk)).toBe('Reused')
    expect(reasons(harness)).toEqual(['not-offered', 'ticket'])
  })

  peerTest(
    'falls back to its external PSK when its ticket is refused, and gets tickets',
    problem,
    async () => {
      let objection: 'revoked' | undefined
      const harness = await startTicketed({
        ...WITH_PSK,
        attach: { revocations: { objectionTo: () => objection } },
      })
      const visit = client(harness)
      await visit('-ciphersuites', 'TLS_AES_128_GCM_SHA256')
      objection = 'revoked'
      expect(await visit(...psk)).toBe('Reused')
      objection = undefined
      expect(await visit('-ciphersuites', 'TLS_AES_128_GCM_SHA256')).toBe('Reused')
      expect(reasons(harness)).toEqual(['not-offered', 'external-psk', 'ticket'])
    },
  )
})
