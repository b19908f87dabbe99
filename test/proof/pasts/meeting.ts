import { once } from 'node:events'
import { rmSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import type { Certificate } from '../../tools/certificate.ts'
import { countTimers, liveTimers } from '../../tools/counted-timers.ts'
import { duplexPair, type PipeEnd } from '../../tools/pipe-end.ts'
import { answersOf } from '../../tools/socket-answers.ts'
import { drawPast, type Past, type PastTask, type SideReport } from './drawn-past.ts'

/** One server that meets sockets with a past: a child process, since a stock server can be ended by some of them. */

// Before the library is loaded, since it is the library's that are counted.
countTimers()
const { attachServer, SessionCacheMode, SslContext, serverOptions } = await import('../../../src/index.ts')

const NAME = 'server.example'
/** After which a client that hears nothing gives up: a stock server waits for ever with some of them. */
const SILENCE_MS = 250
/** The same, where a stock server has answered. */
const PATIENCE_MS = 5_000

const ignore = (): void => undefined

let uncaught: string[] = []
const note = (error: unknown): void =>
  void uncaught.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
process.on('uncaughtException', note).on('unhandledRejection', note).on('warning', note)

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left--) await turn()
}

/** @returns whether it came in time */
async function within(ms: number, event: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false)
  })
  try {
    return await Promise.race([event.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

const closed = (stream: Duplex): Promise<unknown> =>
  stream.closed ? Promise.resolve() : new Promise((resolve) => stream.once('close', resolve))

/** A server, and one client of it whose connection has a past. */
class Meeting {
  readonly #past: Past
  readonly #server: tls.Server
  readonly #attachment: ReturnType<typeof attachServer> | undefined
  readonly #certificate: Certificate
  readonly #opened: Duplex[] = []
  /** The one that is looked at. */
  #raw: Duplex | undefined
  #session: Buffer | undefined
  #lookupTurns = 0

  /** @param asks - everything, of what a client leaves behind */
  constructor(past: Past, isAttached: boolean, certificate: Certificate, asks: boolean) {
    this.#past = past
    this.#certificate = certificate
    const context = new SslContext({
      sessionIdContext: 'past',
      ...(past.lookupTurns > 0 && this.#slowStore()),
    })
    this.#server = tls.createServer(
      {
        ...certificate,
        ...serverOptions(context),
        minVersion: past.version,
        maxVersion: past.version,
        // The past is what is looked at, and nobody's patience.
        handshakeTimeout: 10 * PATIENCE_MS,
        ...(past.requestsCertificate && { requestCert: true, rejectUnauthorized: false }),
        allowHalfOpen: past.allowHalfOpen,
      },
      (socket) => socket.on('error', ignore).end('hello'),
    )
    this.#server.on('tlsClientError', (_error, socket) => {
      if (asks) answersOf(socket)
      socket.destroy()
    })
    if (!isAttached) this.#keepAsNode()
    else this.#attachment = attachServer(this.#server, context, { readAheadMs: 10 * PATIENCE_MS })
  }

  #slowStore(): ConstructorParameters<typeof SslContext>[0] {
    const kept = new Map<string, unknown>()
    return {
      sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
      newSessionCallback: (_connection, session) =>
        void kept.set(Buffer.from(session.sessionId).toString('hex'), session),
      getSessionCallback: async (_connection, id) => {
        await turns(this.#lookupTurns)
        return kept.get(Buffer.from(id).toString('hex')) as undefined
      },
    }
  }

  /** As Node's documentation has it, so that the stock server resumes as well: what is left of a resumption is another thing. */
  #keepAsNode(): void {
    const kept = new Map<string, Buffer>()
    this.#server.on('newSession', (id, session, done) => {
      kept.set(id.toString('hex'), session)
      done()
    })
    this.#server.on('resumeSession', (id, done) => {
      void turns(this.#lookupTurns).then(() => done(null, kept.get(id.toString('hex')) ?? null))
    })
  }

  async run({ patienceMs, leaveMs }: Patience): Promise<SideReport> {
    uncaught = []
    const timers = liveTimers()
    const { offers, lookupTurns } = this.#past
    if (offers) await this.#visitBefore()
    this.#lookupTurns = lookupTurns
    const answer = await this.#visit(patienceMs)
    const isMet = this.#raw !== undefined
    const isLeft = !(await this.#end(leaveMs)) && isMet
    await turns(3)
    return { ...answer, isLeft, uncaught, timers: liveTimers() - timers, outcomes: this.#outcomes() }
  }

  /** @returns outcomes that are missing */
  #outcomes(): number {
    const { full = 0, resumed = 0, failed = 0 } = this.#attachment?.stats.handshakes ?? {}
    return full + resumed + failed
  }

  /** As anybody's, for a session. */
  async #visitBefore(): Promise<void> {
    const [ours, theirs] = duplexPair()
    this.#server.emit('connection', theirs)
    const client = this.#connect(ours)
    client.on('session', (session: Buffer) => {
      this.#session = session
    })
    await new Promise((resolve) => client.once('data', resolve).once('close', resolve))
    client.destroy()
    theirs.destroy()
    await closed(theirs)
  }

  #connect(socket: Duplex): tls.TLSSocket {
    const client = tls.connect({
      socket,
      servername: NAME,
      ca: this.#certificate.cert,
      ...(this.#session && { session: this.#session }),
    })
    return client.on('error', ignore).resume()
  }

  async #visit(patienceMs: number): Promise<Pick<SideReport, 'answer' | 'isResumed' | 'isClosed'>> {
    const [ours, wire] = duplexPair()
    this.#opened.push(ours, wire)
    const { transport } = await this.#open()
    transport.on('error', ignore)
    this.#relay(wire, transport)
    const client = this.#connect(ours)
    let answer = ''
    const greeted = new Promise<void>((resolve) => {
      client.on('data', (chunk: Buffer) => {
        answer += chunk.toString()
        if (answer === 'hello') resolve()
      })
    })
    const gone = Promise.race([greeted, closed(transport), closed(client)])
    const leave = this.#past.clientLeaves
    if (leave !== undefined) void this.#leave(transport)
    await within(patienceMs, gone)
    const isResumed = client.isSessionReused()
    // What both sides do about the end of it.
    const isClosed = client.destroyed || transport.destroyed
    client.destroy()
    transport.destroy()
    return { answer, isResumed, isClosed }
  }

  async #leave(transport: Duplex): Promise<void> {
    const { clientLeaves } = this.#past
    await turns(clientLeaves?.afterTurns ?? 0)
    if (clientLeaves?.how === 'FIN') transport.end()
    else if (transport instanceof net.Socket && transport.remoteAddress !== undefined)
      transport.resetAndDestroy()
    else transport.destroy()
  }

  /** In pieces, if the past has it so. */
  #relay(wire: PipeEnd, transport: Duplex): void {
    const { pieces } = this.#past
    transport.on('data', (chunk: Buffer) => void (wire.writable && wire.write(chunk)))
    transport.once('end', () => wire.end())
    transport.once('close', () => wire.destroy())
    const forward = async (): Promise<void> => {
      for await (const chunk of wire) {
        const bytes = chunk as Buffer
        const length = Math.max(1, Math.ceil(bytes.length / pieces))
        for (let start = 0; start < bytes.length; start += length) {
          if (start > 0) await turns(2)
          if (transport.writable) transport.write(bytes.subarray(start, start + length))
        }
      }
    }
    forward().then(
      () => transport.writable && transport.end(),
      () => transport.destroy(),
    )
  }

  async #open(): Promise<{ readonly transport: Duplex }> {
    const { transport: kind, arrival } = this.#past
    const server = this.#server
    if (kind === 'pipe') {
      const [ours, theirs] = duplexPair({ allowHalfOpen: this.#past.allowHalfOpen })
      this.#watch()
      // As the two ends of a connection do it.
      ours.once('close', () => theirs.destroy())
      this.#arrive(theirs)
      return { transport: ours }
    }
    const listener = arrival === 'its own' ? server : this.#front()
    if (arrival === 'its own') this.#watch()
    const path = join(tmpdir(), `sslctx-past-${process.pid}.sock`)
    rmSync(path, { force: true })
    listener.listen(kind === 'tcp' ? { port: 0, host: '127.0.0.1' } : { path })
    await once(listener, 'listening')
    if (listener !== server) this.#listener = listener
    const address = listener.address()
    const transport = net.connect({
      ...(kind === 'tcp' ? { port: (address as AddressInfo).port, host: '127.0.0.1' } : { path }),
      noDelay: true,
    })
    return { transport }
  }

  #listener: net.Server | undefined

  #front(): net.Server {
    this.#watch()
    const { allowHalfOpen, pauseOnConnect } = this.#past
    return net.createServer({ allowHalfOpen, pauseOnConnect }, (raw) => {
      this.#arrive(raw)
    })
  }

  /** A connection of which somebody else was the first to know. */
  #arrive(raw: Duplex): void {
    const { before, peek } = this.#past
    raw.on('error', ignore)
    for (const touch of before) touch(raw)
    const handOn = (): void => {
      this.#server.emit('connection', raw)
    }
    peek(raw, handOn)
  }

  /** What others do as soon as the server has it. */
  #watch(): void {
    const { after } = this.#past
    const add = (raw: Duplex): void => {
      if (this.#raw !== undefined) return
      this.#raw = raw
      this.#opened.push(raw)
      raw.on('error', ignore)
      for (const { touch, when } of after) when(() => !raw.destroyed && touch(raw))
    }
    if (this.#past.isFirst) this.#server.prependListener('connection', add)
    else this.#server.on('connection', add)
  }

  /** @returns whether nothing is left */
  async #end(leaveMs: number): Promise<boolean> {
    const raw = this.#raw
    const isGone = raw === undefined || (await within(leaveMs, closed(raw)))
    for (const stream of this.#opened) stream.destroy()
    const servers = [this.#server, this.#listener].filter((one) => one?.listening === true)
    const ended = Promise.all(servers.map((one) => once(one as net.Server, 'close')))
    for (const one of servers) one?.close()
    const hasEnded = await within(leaveMs, ended)
    await this.#attachment?.close({ deadlineMs: 1 })
    return isGone && hasEnded
  }
}

interface Patience {
  /** For an answer. */
  readonly patienceMs: number
  /** For a socket to be gone. */
  readonly leaveMs: number
}

async function run({ seed, index, certificate, skipsStock }: PastTask): Promise<void> {
  const past = drawPast(seed, index)
  const meet = async (side: 'stock' | 'attached', patience: Patience): Promise<SideReport> => {
    process.send?.({ type: 'begins', index, side })
    return new Meeting(past, side === 'attached', certificate, past.asks && !skipsStock).run(patience)
  }
  const stock = skipsStock ? undefined : await meet('stock', { patienceMs: SILENCE_MS, leaveMs: SILENCE_MS })
  const isServed = stock !== undefined && (stock.answer === 'hello' || stock.isClosed)
  const attached = await meet('attached', {
    patienceMs: isServed ? PATIENCE_MS : SILENCE_MS,
    leaveMs: stock?.isLeft === false ? PATIENCE_MS : SILENCE_MS,
  })
  process.send?.({ type: 'met', index, stock, attached })
}

process.on('message', (task: PastTask) => {
  run(task).catch((error: unknown) => {
    console.error(error)
    process.exit(1)
  })
})
process.on('disconnect', () => process.exit())
