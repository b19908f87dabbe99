import { once } from 'node:events'
import net from 'node:net'
import { Duplex } from 'node:stream'
import tls from 'node:tls'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import type { SslSession } from '../../../src/index.ts'
import { records } from '../../tools/client-hello-builder.ts'
import { hello12, hello13 } from '../../tools/offering-hello.ts'
import { type AttackPlan, isHelloMoment, type Moment } from './attack-plan.ts'

/** After which a client leaves whose moment does not come: where nothing is looked up, or the handshake is over. */
const PATIENCE_MS = 400
/** After which a silent client gives up; the server's patience is shorter, where it has any. */
const SILENCE_MS = 1_000

export interface AttackTarget {
  readonly port: number
  readonly ca: string
  /** What the server has made for this version. */
  readonly known: { readonly server: SslSession | undefined; readonly client: Buffer | undefined }
}

/** One connection that leaves. */
export class Attack {
  readonly plan: AttackPlan
  /** By which a lookup tells whose it is. */
  readonly identity: Uint8Array
  readonly #target: AttackTarget
  readonly #socket: net.Socket
  #hasLeft = false
  #isOnTime = true

  constructor(plan: AttackPlan, identity: Uint8Array, target: AttackTarget) {
    this.plan = plan
    this.identity = identity
    this.#target = target
    this.#socket = net.connect({ port: target.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    this.#socket.on('error', () => undefined)
  }

  /** Once it is connected. */
  get port(): number {
    return this.#socket.localPort ?? 0
  }

  /** Until the connection is closed on this side. */
  async run(connected: () => void): Promise<void> {
    const socket = this.#socket
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await once(socket, 'connect')
    connected()
    const patience = setTimeout(() => this.#leaveLate(), PATIENCE_MS)
    const silence = setTimeout(() => socket.destroy(), SILENCE_MS)
    if (isHelloMoment(this.plan.moment)) await this.#sendHello()
    else this.#shakeHands()
    await closed
    clearTimeout(patience)
    clearTimeout(silence)
  }

  /** Its moment has come. */
  get isOnTime(): boolean {
    return this.#isOnTime
  }

  #leaveLate(): void {
    if (this.#hasLeft) return
    this.#isOnTime = false
    this.#leave()
  }

  /** Something has happened on the server's side, or on this one. */
  reach(moment: Moment): void {
    if (moment === this.plan.moment) this.#leave()
  }

  #leave(): void {
    if (this.#hasLeft) return
    this.#hasLeft = true
    const socket = this.#socket
    if (this.plan.farewell === 'RST') socket.resetAndDestroy()
    else if (this.plan.farewell === 'FIN') socket.end()
    // Whatever the server says, it says to nobody.
    if (this.plan.farewell === 'FIN') socket.resume().once('end', () => socket.destroy())
    if (this.plan.farewell === 'silence') socket.resume().once('end', () => socket.end())
  }

  get #hello(): Buffer {
    const { variant, offer } = this.plan
    const { server } = this.#target.known
    const id = offer === 'known' && server !== undefined ? server.sessionId : this.identity
    const isTls13 = variant.version === 'TLSv1.3'
    // TLS 1.2 offers by the session id itself.
    const sessionId = variant.hasSessionId ? { sessionId: isTls13 ? this.identity : id } : { sessionId: NONE }
    if (!isTls13 || offer === 'nothing') return Buffer.from(records((isTls13 ? hello13 : hello12)(sessionId)))
    const psk =
      offer === 'known' && server !== undefined ? { psk: decodeSslSession(server.toDer()).masterKey } : {}
    return Buffer.from(records(hello13({ ...sessionId, identity: id, ...psk })))
  }

  async #sendHello(): Promise<void> {
    const { moment, share, pieces, delayMs } = this.plan
    const socket = this.#socket
    if (moment === 'before a byte') return this.#leave()
    const hello = this.#hello
    const bytes =
      moment === 'after some bytes' ? hello.subarray(0, 1 + Math.floor((hello.length * share) / 1001)) : hello
    socket.once('data', () => this.reach('at the first byte of the answer'))
    const length = Math.ceil(bytes.length / pieces)
    for (let start = 0; start < bytes.length && !socket.destroyed; start += length) {
      if (start > 0) await nextTurn()
      socket.write(bytes.subarray(start, start + length))
    }
    if (moment === 'after some bytes' || moment === 'in the turn of its hello') return this.#leave()
    setImmediate(() => this.reach('right after its hello'))
    if (moment === 'some time after its hello') setTimeout(() => this.reach(moment), delayMs)
  }

  /** A real client, until its moment comes. */
  #shakeHands(): void {
    const { variant, moment, share, offer } = this.plan
    const { ca, known } = this.#target
    const limit = 1 + Math.floor((share * 1_200) / 1000)
    const tap = new Tap(this.#socket, {
      ...(moment === 'after some bytes of the answer' && { received: limit }),
      // The first one is the hello.
      ...(moment === 'after some bytes of its second flight' && { sentAfterAnswer: 1 + (share % 100) }),
      leave: () => this.#leave(),
    })
    const client = tls.connect({
      socket: tap,
      ca,
      servername: 'server.example',
      minVersion: variant.version,
      maxVersion: variant.version,
      ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256',
      ...(offer === 'known' && known.client !== undefined && { session: known.client }),
    })
    client.on('error', () => undefined)
    client.on('secureConnect', () => this.reach('when it is done'))
    client.on('data', () => this.reach('after its first data'))
    client.write('GET / HTTP/1.1\r\nHost: server.example\r\n\r\n')
    this.#socket.once('close', () => client.destroy())
  }
}

const NONE = new Uint8Array(0)

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

interface TapLimits {
  readonly received?: number
  readonly sentAfterAnswer?: number
  readonly leave: () => void
}

/** Stands between a TLS client and its raw connection, and cuts that after so many bytes. */
class Tap extends Duplex {
  readonly #raw: net.Socket
  readonly #limits: TapLimits
  #received = 0
  #sentAfterAnswer = 0

  constructor(raw: net.Socket, limits: TapLimits) {
    super({ emitClose: true, autoDestroy: true })
    this.#raw = raw
    this.#limits = limits
    raw.on('data', (chunk: Buffer) => this.#onData(chunk))
    raw.once('end', () => this.push(null))
    raw.once('close', () => this.destroy())
  }

  #onData(chunk: Buffer): void {
    this.#received += chunk.length
    if (this.#received >= (this.#limits.received ?? Number.POSITIVE_INFINITY)) this.#limits.leave()
    else this.push(chunk)
  }

  override _read(): void {
    // The raw connection flows.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const { sentAfterAnswer = Number.POSITIVE_INFINITY, leave } = this.#limits
    const rest = this.#received === 0 ? chunk.length : sentAfterAnswer - this.#sentAfterAnswer
    if (this.#received > 0) this.#sentAfterAnswer += chunk.length
    if (this.#raw.writable) this.#raw.write(chunk.subarray(0, Math.min(chunk.length, rest)))
    if (this.#sentAfterAnswer >= sentAfterAnswer) leave()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // What is left of it is the attack's.
    done(error)
  }
}
