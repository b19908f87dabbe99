import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { open } from 'lmdb'
import { expect, test } from 'vitest'
import { derOf } from '../../../src/client/session-format.ts'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { KeyRing, type SessionStore, sealed, storeCallbacks } from '../../../src/index.ts'
import { lmdbStore } from '../../../src/store/lmdb-store.ts'
import { fromIoredis, redisStore } from '../../../src/store/redis-store.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { delegate } from '../../tools/delegate.ts'
import {
  afterTest,
  connect,
  type Harness,
  NAME,
  NO_INTERNAL,
  reasons,
  start,
  VERSIONS,
} from '../../tools/node-servers.ts'
import { peerTest } from '../../tools/peers.ts'
import { redisProblem, startRedis } from '../../tools/redis-server.ts'

const authority = await makeCertificate('authority.example', { isAuthority: true })
const client = await makeCertificate('client.example', { ca: authority })
const own = { key: client.key, cert: client.cert }

/** A server on a sealed store, with one session made in each version, of a client that showed its certificate. */
async function serveOn(store: SessionStore): Promise<{ harnesses: Harness[]; sessions: Buffer[] }> {
  const harnesses: Harness[] = []
  const sessions: Buffer[] = []
  for (const [, { server }] of VERSIONS) {
    const harness = await start({
      server: { ...server, requestCert: true, rejectUnauthorized: true, ca: authority.cert },
      context: { sessionCacheMode: NO_INTERNAL, ...storeCallbacks(store) },
    })
    harnesses.push(harness)
    const { session } = await connect(harness, undefined, own)
    sessions.push(session ?? Buffer.alloc(0))
  }
  return { harnesses, sessions }
}

/** What the client's own sessions say of the server's: they have the same secrets. */
function secretsOf(sessions: readonly Buffer[]): Map<string, Uint8Array> {
  const secrets = new Map<string, Uint8Array>([
    ['the server name', Buffer.from(NAME)],
    ['the certificate', new X509Certificate(client.cert).raw.subarray(0, 64)],
    ['the name in the certificate', Buffer.from('client.example')],
  ])
  for (const session of sessions) {
    const { protocolVersion, masterKey, sessionId, ticket } = decodeSslSession(derOf(session))
    secrets.set(`the master key of ${protocolVersion}`, masterKey)
    // A stateful ticket is the id under which the server knows the session.
    secrets.set(`the session id of ${protocolVersion}`, ticket ?? sessionId)
  }
  return secrets
}

function expectNothingIn(dump: Buffer, sessions: readonly Buffer[]): void {
  for (const [what, secret] of secretsOf(sessions)) {
    expect(secret.length, what).toBeGreaterThan(5)
    const head = Buffer.from(secret).subarray(0, 16)
    for (const needle of [head, head.toString('hex'), head.toString('base64').slice(0, 16)])
      expect(dump.includes(needle), what).toBe(false)
  }
}

async function openLmdb(): Promise<{ path: string; store: SessionStore }> {
  const path = await mkdtemp(join(tmpdir(), 'sslctx-dump-'))
  const root = open({ path })
  afterTest(() => void root.close().then(() => rm(path, { recursive: true })))
  return { path, store: lmdbStore(root) }
}

test('the file of a sealed LMDB store holds no master key, session id, server name or certificate', async () => {
  const { path, store } = await openLmdb()
  const { harnesses, sessions } = await serveOn(sealed(store, new KeyRing([randomBytes(32)])))
  expectNothingIn(await readFile(join(path, 'data.mdb')), sessions)
  for (const [index, harness] of harnesses.entries())
    expect((await connect(harness, sessions[index], own)).resumed).toBe(true)
})

test('this search finds all of them in a store that is not sealed', async () => {
  const { path, store } = await openLmdb()
  const { sessions } = await serveOn({ ...delegate(store), confidentiality: 'in-process' })
  const dump = await readFile(join(path, 'data.mdb'))
  const unseen = [...secretsOf(sessions)].filter(
    ([, secret]) => !dump.includes(Buffer.from(secret.subarray(0, 16))),
  )
  expect(unseen).toEqual([])
})

async function openRedis(): Promise<Redis> {
  const server = await startRedis()
  const redis = new Redis(server.port, '127.0.0.1')
  afterTest(() => {
    redis.disconnect()
    void server.close()
  })
  return redis
}

/** Every key with its value, as whoever may read the engine sees them. */
async function dumpRedis(redis: Redis): Promise<[Buffer, Buffer][]> {
  const keys = await redis.keysBuffer('sslctx:s:*')
  return Promise.all(
    keys.map(
      async (key): Promise<[Buffer, Buffer]> => [key, (await redis.getBuffer(key)) ?? Buffer.alloc(0)],
    ),
  )
}

peerTest('a dump of a sealed Redis holds none of them either', redisProblem, async () => {
  const redis = await openRedis()
  const store = sealed(redisStore(fromIoredis(redis)), new KeyRing([randomBytes(32)]))
  const { sessions } = await serveOn(store)
  const dump = await dumpRedis(redis)
  expect(dump.length).toBe(3)
  expectNothingIn(Buffer.concat(dump.flat()), sessions)
})

peerTest('values that were swapped, altered or sealed for others resume nobody', redisProblem, async () => {
  const redis = await openRedis()
  const plain = redisStore(fromIoredis(redis))
  const store = sealed(plain, new KeyRing([randomBytes(32)]))
  const { harnesses, sessions } = await serveOn(store)
  const dump = await dumpRedis(redis)
  const values = dump.map(([, value]) => value)
  const changes: ((value: Buffer, index: number) => Buffer)[] = [
    (_, index) => values[(index + 1) % values.length] ?? Buffer.alloc(0),
    (value) => Buffer.from(value.map((byte, index) => (index === 100 ? byte ^ 1 : byte))),
    (value) => value.subarray(0, -1),
    () => randomBytes(300),
  ]
  for (const change of changes) {
    for (const [index, [key, value]] of dump.entries()) await redis.set(key, change(value, index))
    for (const [index, harness] of harnesses.entries()) {
      expect((await connect(harness, sessions[index], own)).resumed).toBe(false)
      expect(reasons(harness).at(-1)).toBe('unopenable')
    }
  }
  // Put back as they were, they are good: what was tried is the seal, not the sessions.
  for (const [key, value] of dump) await redis.set(key, value)
  for (const [index, harness] of harnesses.entries())
    expect((await connect(harness, sessions[index], own)).resumed).toBe(true)
})

peerTest('a value that is put back after its session expired resumes nobody', redisProblem, async () => {
  const redis = await openRedis()
  let nowMs = Date.now()
  const store = sealed(redisStore(fromIoredis(redis)), new KeyRing([randomBytes(32)]), { now: () => nowMs })
  const { harnesses, sessions } = await serveOn(store)
  for (const [key, value] of await dumpRedis(redis)) await redis.set(key, value)
  nowMs += 7201 * 1000
  for (const [index, harness] of harnesses.entries()) {
    expect((await connect(harness, sessions[index], own)).resumed).toBe(false)
    expect(reasons(harness).at(-1)).toBe('not-found')
  }
})
