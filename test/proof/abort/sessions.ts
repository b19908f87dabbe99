import type tls from 'node:tls'
import { SessionCacheMode, type SslContextOptions, SslSession } from '../../../src/index.ts'
import type { StoreKind, Variant } from './abort-case.ts'
import type { Attack, AttackTarget } from './attack.ts'

type Version = Variant['version']

/** As many as there may be at the same time; their clients come back at once or never. */
const MAX_SESSIONS = 500

/** What a server keeps its sessions in, and who is looked up there: an attack hears when its lookup begins and ends. */
export class Sessions {
  readonly #kept = new Map<string, Buffer>()
  readonly #attacks = new Map<string, Attack>()
  readonly #server = new Map<Version, SslSession>()
  readonly #client = new Map<Version, Buffer>()

  /** What a good client has been given, and its server has made, by version. */
  known(version: Version): AttackTarget['known'] {
    return { server: this.#server.get(version), client: this.#client.get(version) }
  }

  keep(version: Version, session: Buffer): void {
    this.#client.set(version, session)
  }

  /** @returns to be called when it is over */
  expect(attack: Attack): () => void {
    const { server } = this.known(attack.plan.variant.version)
    const keys = [keyOf(attack.identity)]
    // Several share it; the last one hears.
    if (attack.plan.offer === 'known' && server !== undefined) keys.push(keyOf(server.sessionId))
    for (const key of keys) this.#attacks.set(key, attack)
    return () => {
      for (const key of keys) if (this.#attacks.get(key) === attack) this.#attacks.delete(key)
    }
  }

  /** What is kept is no leak. */
  forget(): void {
    this.#kept.clear()
    this.#server.clear()
    this.#client.clear()
  }

  callbacks(store: StoreKind): SslContextOptions {
    const made = (session: SslSession): void => this.#made(session)
    if (store === 'internal')
      return { sessionCacheSize: MAX_SESSIONS, newSessionCallback: (_connection, session) => made(session) }
    return {
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
      newSessionCallback: async (_connection, session) => {
        made(session)
        await nextTurn()
      },
      getSessionCallback: async (_connection, id) => {
        const der = await this.#lookUp(id)
        return der && SslSession.fromDer(der)
      },
    }
  }

  /** Node alone, with lookups that are as slow. */
  listen(server: tls.Server, store: StoreKind): void {
    server.on('newSession', (_id, der, done) => {
      this.#made(SslSession.fromDer(der))
      // Node alone has no store; where this waits, Node leaves sockets behind.
      done()
    })
    server.on('resumeSession', (id, done) => {
      if (store === 'internal') done(null, this.#kept.get(keyOf(id)) ?? null)
      else void this.#lookUp(id).then((der) => done(null, der ?? null))
    })
  }

  #made(session: SslSession): void {
    this.#server.set(session.protocolVersion === 0x0304 ? 'TLSv1.3' : 'TLSv1.2', session)
    this.#kept.set(keyOf(session.sessionId), Buffer.from(session.toDer()))
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MAX_SESSIONS && oldest !== undefined) this.#kept.delete(oldest)
  }

  async #lookUp(id: Uint8Array): Promise<Buffer | undefined> {
    const key = keyOf(id)
    const attack = this.#attacks.get(key)
    attack?.reach('when a lookup begins')
    setImmediate(() => attack?.reach('a turn after a lookup has begun'))
    const turns = attack?.plan.lookupTurns ?? 1
    if (turns === Number.POSITIVE_INFINITY) return new Promise(() => undefined)
    for (let turn = 0; turn < turns; turn++) await nextTurn()
    attack?.reach('just before a lookup ends')
    process.nextTick(() => attack?.reach('in the tick after a lookup'))
    queueMicrotask(() => attack?.reach('in the microtask after a lookup'))
    setImmediate(() => {
      attack?.reach('in the turn after a lookup')
      setImmediate(() => attack?.reach('two turns after a lookup'))
    })
    return this.#kept.get(key)
  }
}

const keyOf = (id: Uint8Array): string => Buffer.from(id).toString('hex')

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
