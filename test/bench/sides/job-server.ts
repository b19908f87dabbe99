/**
 * The least code that does the job of an attachment with its defaults, in one process: it reads the ClientHello whole, for as long as it
 * may take, binds sessions to server name and trust, looks at expiry and at the age of the authentication, counts, keeps the
 * asynchronous context, and knows clients that leave. No store, no callback, no modes, nothing for a ClientHello in pieces, and
 * sessions that could not leave their process: never to be used. Speaks as tls-server does.
 */
import { AsyncResource, executionAsyncResource } from 'node:async_hooks'
import type net from 'node:net'
import tls from 'node:tls'
import { type Start, serve } from './side-server.ts'

const SSL_OP_NO_TICKET = 0x4000
const MAX_SESSIONS = 2_000
const READ_AHEAD_MS = 10_000
const TIMEOUT_SEC = 300
const MAX_AUTHENTICATION_AGE_SEC = 604_800
const TLS1_3 = 0x0304

/** Node's TLSWrap. */
interface Handle {
  loadSession(der: Buffer): void
  receive(bytes: Buffer): void
  /** Before Node 26.8, and later ones. */
  endParser?(): void
  clientHelloDone?(): void
  onclienthello: (this: Handle) => void
  [CONNECTION]?: Connection | undefined
}

const CONNECTION = Symbol('connection')

interface Hello {
  version: number
  name: string | undefined
  sessionId: string
  pskIdentity: string | undefined
  hasPskMode: boolean
}

interface Session {
  readonly der: Buffer
  readonly version: number
  readonly name: string | undefined
  readonly trust: object
  readonly authenticatedSec: number
  readonly expiresSec: number
}

let captured: Handle | undefined
const { nextTick } = process
function capturingTick(callback: (...args: unknown[]) => void, ...args: unknown[]): void {
  const handle = (args[0] as { readonly _handle?: Handle } | undefined)?._handle
  if (captured === undefined && handle?.loadSession !== undefined) captured = handle
  Reflect.apply(nextTick, process, [callback, ...args])
}

/** What all connections share. */
class Job {
  readonly sessions = new Map<string, Session>()
  readonly counts: Record<string, number> = {}
  readonly #trust = new Map<string | undefined, object>()

  trustOf(name: string | undefined): object {
    const known = this.#trust.get(name) ?? {}
    this.#trust.set(name, known)
    return known
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}

class Connection {
  readonly #job: Job
  readonly #socket: net.Socket
  readonly #accept: () => void
  readonly #push: net.Socket['push']
  readonly #resource = new AsyncResource('JOB')
  readonly #timer: NodeJS.Timeout
  #state: 'reading' | 'handed-over' | 'over' = 'reading'
  #hello: Hello | undefined
  #found: Session | undefined
  #reason = 'not-offered'
  #bytes: Buffer | undefined
  #handle: Handle | undefined
  #ticketsDue = 0

  constructor(job: Job, socket: net.Socket, accept: () => void) {
    this.#job = job
    this.#socket = socket
    this.#accept = accept
    this.#push = socket.push
    socket.on('close', this.#onClose)
    socket.on('error', this.#onError)
    socket.push = this.#take
    this.#timer = setTimeout(() => this.#handOver(), READ_AHEAD_MS)
    this.#timer.unref()
  }

  readonly #onError = (): void => undefined

  readonly #onClose = (): void => {
    clearTimeout(this.#timer)
    if (this.#state !== 'over') this.#job.count('failed')
    this.#end()
  }

  readonly #take = (chunk: Buffer | null): boolean => {
    if (chunk === null) {
      this.#socket.push = this.#push
      return this.#socket.push(null)
    }
    this.#bytes = chunk
    this.#resource.runInAsyncScope(this.#read, this)
    return true
  }

  #read(): void {
    this.#hello = this.#bytes && readHello(this.#bytes)
    if (this.#hello !== undefined) this.#decide(this.#hello)
    this.#handOver()
  }

  #decide({ version, name, sessionId, pskIdentity, hasPskMode }: Hello): void {
    const { sessions } = this.#job
    const pskId = hasPskMode ? pskIdentity : undefined
    const id = version === TLS1_3 ? pskId : sessionId
    const session = id === undefined ? undefined : sessions.get(id)
    const nowSec = Date.now() / 1000
    if (id === undefined || session === undefined) this.#reason = 'not-found'
    else if (session.version !== version) this.#reason = 'version-mismatch'
    else if (nowSec > session.expiresSec) {
      sessions.delete(id)
      this.#reason = 'expired'
    } else if (session.name !== name) this.#reason = 'server-name-mismatch'
    else if (session.trust !== this.#job.trustOf(name)) this.#reason = 'trust-changed'
    else if (nowSec > session.authenticatedSec + MAX_AUTHENTICATION_AGE_SEC) this.#reason = 'too-old'
    else {
      this.#found = session
      this.#reason = 'internal'
    }
  }

  #handOver(): void {
    const socket = this.#socket
    clearTimeout(this.#timer)
    socket.push = this.#push
    socket.off('error', this.#onError)
    if (socket.destroyed) return
    this.#state = 'handed-over'
    process.nextTick(deliver, this)
    captured = undefined
    process.nextTick = capturingTick
    try {
      this.#accept()
    } finally {
      process.nextTick = nextTick
    }
    const handle = captured as Handle | undefined
    if (handle === undefined) return
    this.#handle = handle
    handle[CONNECTION] = this
    if (handle.clientHelloDone !== undefined) handle.onclienthello = goOn
    if (this.#found !== undefined) handle.loadSession(this.#found.der)
  }

  deliver(): void {
    this.#handle?.endParser?.()
    if (this.#bytes !== undefined) this.#handle?.receive(this.#bytes)
  }

  keep(id: Buffer, der: Buffer): void {
    const { sessions } = this.#job
    if (this.#hello === undefined) return
    const { version, name } = this.#hello
    const nowSec = Math.floor(Date.now() / 1000)
    const authenticatedSec = this.#found?.authenticatedSec ?? nowSec
    const expiresSec = Math.min(nowSec + TIMEOUT_SEC, authenticatedSec + MAX_AUTHENTICATION_AGE_SEC)
    const trust = this.#job.trustOf(name)
    sessions.set(id.toString('latin1'), { der, version, name, trust, authenticatedSec, expiresSec })
    if (sessions.size > MAX_SESSIONS) sessions.delete(sessions.keys().next().value ?? '')
    this.#ticketsDue--
    if (this.#ticketsDue === 0) this.#end()
  }

  establish(socket: tls.TLSSocket): void {
    const isReused = socket.isSessionReused()
    this.#state = 'over'
    this.#job.count(isReused ? 'resumed' : 'full')
    this.#job.count(this.#reason)
    this.#job.count(socket.getProtocol() ?? '')
    if (this.#hello?.version === TLS1_3) this.#ticketsDue = isReused ? 1 : 2
  }

  #end(): void {
    this.#state = 'over'
    this.#socket.off('close', this.#onClose)
    if (this.#handle !== undefined) this.#handle[CONNECTION] = undefined
    this.#hello = undefined
    this.#found = undefined
  }
}

function deliver(connection: Connection): void {
  connection.deliver()
}

function goOn(this: Handle): void {
  this.clientHelloDone?.()
}

/** @returns undefined for what is no ClientHello in one record */
function readHello(bytes: Buffer): Hello | undefined {
  if (bytes.length < 44 || bytes[0] !== 22 || bytes[5] !== 1) return undefined
  const end = 5 + bytes.readUInt16BE(3)
  if (end > bytes.length || 9 + bytes.readUIntBE(6, 3) !== end) return undefined
  const idEnd = 44 + (bytes[43] ?? 0)
  const suitesEnd = idEnd + 2 + bytes.readUInt16BE(idEnd)
  const start = suitesEnd + 1 + (bytes[suitesEnd] ?? 0)
  const hello: Hello = {
    version: bytes.readUInt16BE(9),
    name: undefined,
    sessionId: bytes.toString('latin1', 44, idEnd),
    pskIdentity: undefined,
    hasPskMode: false,
  }
  if (start === end) return hello
  if (start + 2 + bytes.readUInt16BE(start) !== end) return undefined
  return readExtensions(bytes, start + 2, end, hello) ? hello : undefined
}

function readExtensions(bytes: Buffer, start: number, end: number, hello: Hello): boolean {
  let seen = 0
  for (let at = start; at < end; ) {
    const type = bytes.readUInt16BE(at)
    const from = at + 4
    at = from + bytes.readUInt16BE(from - 2)
    const bit = type < 52 ? 2 ** type : 0
    if (at > end || Math.floor(seen / bit) % 2 === 1) return false
    seen += bit
    if (type === 0) hello.name = bytes.toString('latin1', from + 5, at)
    else if (type === 41)
      hello.pskIdentity = bytes.toString('latin1', from + 4, from + 4 + bytes.readUInt16BE(from + 2))
    else if (type === 43) {
      for (let one = from + 1; one < at; one += 2)
        if (bytes.readUInt16BE(one) === TLS1_3) hello.version = TLS1_3
    } else if (type === 45) hello.hasPskMode = bytes.subarray(from + 1, at).includes(1)
  }
  return true
}

function createServer({ key, cert }: Start): tls.Server {
  const job = new Job()
  const server = tls.createServer({ key, cert, secureOptions: SSL_OP_NO_TICKET })
  const [listener] = server.listeners('connection') as ((socket: net.Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket: net.Socket) => {
    new Connection(job, socket, () => listener && Reflect.apply(listener, server, [socket]))
  })
  server.on('newSession', (id: Buffer, der: Buffer, done: () => void) => {
    ;(executionAsyncResource() as Handle)[CONNECTION]?.keep(id, der)
    done()
  })
  server.on('secureConnection', (socket: tls.TLSSocket) => {
    ;(socket as { _handle?: Handle })._handle?.[CONNECTION]?.establish(socket)
  })
  return server
}

serve(createServer)
