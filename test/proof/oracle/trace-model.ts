import { createHash } from 'node:crypto'
import { decodeSslSession, type SslSessionFields } from '../../../src/codec/ssl-session-der.ts'
import type { ClientOffer, ServerHello, ServerHelloVerdict } from '../../../src/context/client-handshake.ts'
import type { ServerHelloParameters, SslConnection } from '../../../src/context/ssl-connection.ts'
import { SslContext } from '../../../src/context/ssl-context.ts'
import type { NegotiatedSession, TicketMaterial } from '../../../src/context/tickets.ts'
import { equalBytes } from '../../../src/session/bytes.ts'
import type { SessionConnection, SslContextPorts } from '../../../src/session/contracts.ts'
import { cipherSuiteHash, judgeSession } from '../../../src/session/judge-session.ts'
import type { Examination, PskIdentity, ResumptionOffer, TicketOffer } from '../../../src/session/offer.ts'
import { MAX_ID_LENGTH } from '../../../src/session/ranges.ts'
import { SslOption, TLS1_2_VERSION, TLS1_3_VERSION, VerifyMode } from '../../../src/session/ssl-constants.ts'
import { SslSession, sessionInternals } from '../../../src/session/ssl-session.ts'
import type { ResumptionVerdict } from '../../../src/session/verdict.ts'
import { HistoricContext } from './historic-context.ts'
import { hasKexGroup, withoutKexGroup } from './historic-der.ts'
import { HistoricFlags } from './historic-flags.ts'
import { Material, type Observation } from './observations.ts'
import type { Switches } from './switches.ts'

export type SideName = 's' | 'c'

const CLOCK_START_MS = 1_700_000_000_000
const VISIBLE_OPTIONS = 0x0111_4181
const ALLOW_CLIENT_RENEGOTIATION = 0x100
const X25519 = 29
const P256 = 23
const HELLO_REQUEST_STEPS = 2
const PSK_SUITE = 0x1302
const PSK_OFFER = { identity: new Uint8Array(Buffer.from('external')), obfuscatedTicketAge: 0 } as const
const SUITES_12 = [[0xc02c, 0xc02b], [0xc02b], [0xc02c], [0xc02b], [0xc02b]] as const
const SUITES_13 = [[0x1302, 0x1301], [0x1301], [0x1302], [0x1303], [0x1304]] as const

interface StoredSession {
  readonly session: SslSession
  readonly der: Uint8Array
}

/** A context of the trace, with what PROTOCOL.md gives it besides the model. */
class TraceContext {
  readonly letter: string
  readonly model: SslContext
  /** Of the model. */
  readonly state: HistoricContext
  readonly stored: Map<string, StoredSession> = new Map()
  newMode = 0
  getMode = 0
  maxVersion: number = TLS1_3_VERSION
  suite = 0
  groups = 0
  lastStats = ''
  lastCache = ''

  constructor(letter: string, model: SslContext, state: HistoricContext) {
    this.letter = letter
    this.model = model
    this.state = state
  }
}

/** A server and a client, joined. */
interface TraceConnection {
  readonly s: SslConnection
  readonly c: SslConnection
  readonly maxVersion: Record<SideName, number>
  readonly groups: Record<SideName, number>
  /** Settings of the server that the model does not tell. */
  numTickets: number
  verifyMode: number
  current: TraceContext
  isFirst: boolean
  /** The client has sent a legacy session id in TLS 1.3. */
  hasLegacyId: boolean
  /** A HelloRetryRequest has been sent in this handshake. */
  isRetried: boolean
  /** CLEARALERT: the server has sent an alert that its client cannot read. */
  isIllegible: boolean
  /** SRVCLEAR: the server has resumed what it had from before. */
  hasResumedItsOwn: boolean
  /** The client goes on with the session that it had before its first ClientHello. */
  hasOffered: boolean
  state: 'fresh' | 'established' | 'failed' | 'replaced' | 'stuck'
  readonly done: Record<SideName, boolean>
  readonly failed: Record<SideName, boolean>
  /** SSL_get_shutdown. */
  readonly sent: Record<SideName, boolean>
  readonly received: Record<SideName, boolean>
  readonly quiet: Record<SideName, boolean>
  /** Who has the PSK from outside TLS. */
  readonly psk: Record<SideName, boolean>
  isPskOffered: boolean
  /** The server has chosen it. */
  isPskChosen: boolean
  /** By a fatal alert of its peer. */
  readonly ended: Record<SideName, boolean>
  /** Where an alert is to arrive in the next handshake, in place of a flight. */
  cut: SideName | undefined
  isCut: boolean
  hasAuthenticated: boolean
  /** What became of it; undefined in a handshake in which nobody speaks of it. */
  earlyData: 'none' | 'rejected' | 'accepted' | undefined
  /** What the server put into tickets that the client has not read yet. */
  readonly tickets: { readonly der: string; readonly lifetimeHintSec: number }[]
}

/** What libssl does here is not followed further. */
export class BeyondDriver extends Error {}

/** Executes a trace on the model, and prints the lines that libssl would print. */
export class TraceModel {
  readonly #switches: Switches
  readonly #version: string
  readonly #flags: HistoricFlags
  #nowMs = CLOCK_START_MS
  #shared = false
  #isEnded = false
  #contexts!: Record<SideName, TraceContext>
  /** What a server is switched to. */
  #other!: TraceContext
  #switching = 'never'
  /** What the decrypt-ticket callback of the server says. */
  #decrypting = 0
  /** The ticket key callback of the server has no key. */
  #isKeyless = false
  readonly #names: Map<SslSession, string> = new Map()
  readonly #sessions: Record<SideName, SslSession[]> = { s: [], c: [] }
  readonly #shown: Map<SslSession, string> = new Map()
  readonly #connections: (TraceConnection | undefined)[] = []
  /** Sealed tickets by their bytes: libssl's are opaque here. */
  readonly #tickets: Map<string, string> = new Map()
  #material = new Material([])
  #lines: string[] = []
  #collisions = 0
  /** What the client's random bytes are to be, during the making of a ClientHello. */
  #clientRandom: string | undefined
  #serverK = 0
  #unseenIds = 0
  #isBinderMalformed = false
  /** Sessions that had a name when the operation began. */
  #known: ReadonlySet<SslSession> = new Set()

  constructor(version: string, switches: Switches) {
    this.#version = version
    this.#switches = switches
    this.#flags = new HistoricFlags(!this.#switches.NORES)
  }

  /** @param observed - what libssl printed for the same operation: the source of material, and of nothing else */
  execute(operation: string, observed: Observation): Observation {
    this.#lines = []
    this.#material = new Material(observed)
    const [what = '', ...words] = operation.split(' ')
    this.#known = new Set(this.#names.keys())
    this.#dispatch(what, words)
    if (['handshake', 'ticket', 'auth', 'reneg', 'ask', 'repeat'].includes(what)) this.#collisions = 0
    this.#flags.unblank((session) => this.#known.has(session))
    this.#printChanges()
    return this.#lines
  }

  #print(line: string): void {
    this.#lines.push(line)
  }

  #dispatch(what: string, words: readonly string[]): void {
    if (what === 'reset') this.#reset(words[0] === '1')
    else if (what === 'end') this.#end()
    else if (what === 'clock') this.#nowMs += Number(words[0])
    else if (what === 'collide') this.#collisions = Number(words[0])
    else if (what === 'switching') this.#switching = words[0] ?? 'never'
    else if (
      ['import', 'dup', 'as', 'sethost', 'setdata', 'settime', 'settimeout', 'setctx', 'show'].includes(what)
    )
      this.#onSession(what, words)
    else if (connectionOperations.has(what)) this.#onConnection(what, words)
    else this.#onContext(what, words)
  }

  // ---- contexts ----

  #reset(shared: boolean): void {
    this.#nowMs = CLOCK_START_MS
    this.#shared = shared
    this.#isEnded = false
    this.#names.clear()
    this.#shown.clear()
    this.#tickets.clear()
    this.#sessions.s = []
    this.#sessions.c = []
    this.#connections.length = 0
    this.#collisions = 0
    const s = this.#newContext('S')
    this.#contexts = { s, c: shared ? s : this.#newContext('C') }
    this.#other = this.#newContext('T')
    this.#switching = 'never'
    this.#decrypting = 0
    this.#isKeyless = false
    this.#print(`libssl ${this.#version}`)
  }

  #newContext(letter: string): TraceContext {
    const ports: SslContextPorts = {
      now: () => (this.#switches.OSSLTIME ? this.#nowMs : Math.floor(this.#nowMs / 1000) * 1000),
      // Of another length is the key of the cache's hash table, which nothing that can be seen depends on.
      randomBytes: (length) => (length === MAX_ID_LENGTH ? this.#randomBytes() : new Uint8Array(length)),
      sha256: (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest()),
    }
    const state = new HistoricContext(ports, this.#switches)
    return new TraceContext(
      letter,
      new SslContext(ports, { options: ALLOW_CLIENT_RENEGOTIATION }, state),
      state,
    )
  }

  #end(): void {
    for (const [k, connection] of this.#connections.entries()) if (connection !== undefined) this.#free(k)
    this.#contexts.s.model.free()
    if (!this.#shared) this.#contexts.c.model.free()
    this.#other.model.free()
    this.#isEnded = true
  }

  #onContext(what: string, words: readonly string[]): void {
    const [letter = 'S', first = '', second = ''] = words
    const side: SideName = letter === 'C' ? 'c' : 's'
    const context = letter === 'T' ? this.#other : this.#contexts[side]
    const { model } = context
    const value = Number(first)
    const settings: Record<string, () => void> = {
      mode: () => this.#print(`= ${model.setSessionCacheMode(value)} ${model.getSessionCacheMode()}`),
      size: () => this.#print(`= ${model.setSessionCacheSize(value)} ${model.getSessionCacheSize()}`),
      timeout: () => this.#print(`= ${model.setSessionTimeout(value)}`),
      sidctx: () => this.#print(`= ${attempt(() => model.setSessionIdContext(fromHex(first)))}`),
      verify: () => model.setVerifyMode(value),
      options: () => {
        const bits = this.#knownOptions(Number(second))
        const all = first === 'set' ? model.setOptions(bits) : model.clearOptions(bits)
        this.#print(`= ${(all & VISIBLE_OPTIONS) >>> 0}`)
      },
      tickets: () => model.setNumTickets(value),
      early: () => model.setMaxEarlyData(value),
      maxver: () => {
        context.maxVersion = value
      },
      suite: () => {
        context.suite = value
      },
      groups: () => {
        context.groups = value
      },
      newcb: () => this.#setNewCallback(context, value),
      getcb: () => this.#setGetCallback(context, value),
      remcb: () => this.#setRemoveCallback(context, value),
      idcb: () => model.setGenerateSessionId(this.#generator(value)),
      notres: () => model.setNotResumableCallback(value === 0 ? undefined : () => value === 2),
      flush: () => model.flushSessions(value),
      decrypt: () => {
        this.#decrypting = value
      },
      keys: () => {
        this.#isKeyless = value === 1
      },
    }
    const setting = settings[what]
    if (setting !== undefined) setting()
    else this.#withSession(side, first, (session) => this.#onCache(what, context, session))
  }

  /** EMSOPTION, and EOFFATAL: there was nothing to be ignored. */
  #knownOptions(bits: number): number {
    const unknown =
      (this.#switches.EMSOPTION ? 0 : SslOption.NO_EXTENDED_MASTER_SECRET) |
      (this.#switches.EOFFATAL ? 0 : SslOption.IGNORE_UNEXPECTED_EOF)
    return bits & ~unknown
  }

  #onCache(what: string, context: TraceContext, session: SslSession): void {
    const id = toHex(session.sessionId)
    if (what === 'add') this.#print(`= ${Number(context.model.addSession(session))}`)
    else if (what === 'remove') this.#print(`= ${Number(context.model.removeSession(session))}`)
    else if (what === 'extdel') context.stored.delete(id)
    else if (id !== '') context.stored.set(id, { session, der: fromHex(this.#der(session)) })
  }

  #setNewCallback(context: TraceContext, mode: number): void {
    context.newMode = mode
    const callback = (connection: { isServer: boolean }, session: SslSession): number => {
      const name = this.#name(connection.isServer ? 's' : 'c', session)
      this.#print(`new ${context.letter} ${name} ${this.#der(session)}`)
      if ((mode & 4) !== 0)
        context.stored.set(toHex(session.sessionId), { session, der: fromHex(this.#der(session)) })
      return mode & 3
    }
    context.model.setNewSessionCallback((mode & 3) === 0 ? undefined : callback)
  }

  #setGetCallback(context: TraceContext, mode: number): void {
    context.getMode = mode
    const callback = (_: SessionConnection, id: Uint8Array): SslSession | undefined => {
      const session = this.#answerGet(context, toHex(id))
      const name = session === undefined ? 'none' : this.#name('s', session)
      this.#print(`get ${context.letter} ${toHex(id)} -> ${name}`)
      if (session !== undefined) this.#flags.unblankId(id, (one) => this.#known.has(one))
      this.#flags.hide(session)
      return session
    }
    context.model.setGetSessionCallback(mode === 0 ? undefined : callback)
  }

  #answerGet(context: TraceContext, id: string): SslSession | undefined {
    if (context.getMode === 4) return this.#sessions.s.find((session) => toHex(session.sessionId) !== id)
    const stored = context.getMode === 3 ? undefined : context.stored.get(id)
    if (stored === undefined || context.getMode === 1) return stored?.session
    return SslSession.fromDer(stored.der, this.#wholeNow())
  }

  #setRemoveCallback(context: TraceContext, value: number): void {
    const callback = (session: SslSession): void => {
      const name = this.#name(context.letter === 'C' ? 'c' : 's', session)
      this.#print(`rem ${context.letter} ${name} ${session.isResumable ? 'R' : 'N'}`)
    }
    context.model.setRemoveSessionCallback(value === 0 ? undefined : callback)
  }

  /** The ids come from libssl's run; whether the generator is asked at all is the model's affair. */
  #generator(mode: number): (() => Uint8Array | undefined) | undefined {
    if (mode === 0) return undefined
    return () => {
      const id = this.#material.take('id')?.[3] ?? 'asked-for-in-vain'
      this.#print(`id ${this.#serverK} ${mode} ${id}`)
      if (mode === 4) return undefined
      if (mode === 3) return new Uint8Array(0)
      if (mode === 5) return new Uint8Array(33)
      return fromHex(id)
    }
  }

  // ---- random numbers ----

  #randomBytes(): Uint8Array {
    if (this.#clientRandom !== undefined) return fromHex(this.#clientRandom)
    const collision = this.#collisions > 0 ? this.#takenId() : undefined
    if (collision !== undefined) {
      this.#collisions--
      this.#material.take('id')
      this.#print(`id ${this.#serverK} 0 ${collision}`)
      return fromHex(collision)
    }
    return fromHex(this.#nextServerId())
  }

  /** The id that libssl drew: in the ticket that comes next, or in the session that the handshake ended with. */
  #nextServerId(): string {
    const k = this.#serverK
    const isTls13 = this.#connections[k]?.s.protocolVersion === TLS1_3_VERSION
    if (isTls13) return toHex(decode(this.#material.peek(`tick ${k}`)?.[2])?.sessionId ?? new Uint8Array(32))
    const drawn = this.#material.peek(`sess ${k} s`)?.[5]
    // An id that never gets out of libssl may be any, as long as it is new.
    return drawn?.length === 64 ? drawn : (++this.#unseenIds).toString(16).padStart(64, 'e')
  }

  #takenId(): string | undefined {
    const version = this.#connections[this.#serverK]?.s.protocolVersion
    const cached = new Set(
      [...this.#contexts.s.model.sessions()]
        .filter((session) => session.protocolVersion === version)
        .map((session) => toHex(session.sessionId)),
    )
    return this.#sessions.s
      .filter((session) => session.protocolVersion === version && session.sessionId.length === 32)
      .map((session) => toHex(session.sessionId))
      .find((id) => cached.has(id))
  }

  // ---- sessions ----

  #onSession(what: string, words: readonly string[]): void {
    const side: SideName = words[0] === 'c' ? 'c' : 's'
    const argument = words[2] ?? ''
    if (what === 'import') {
      const der = words[1] ?? ''
      const session =
        !this.#switches.KEXGROUP && hasKexGroup(der)
          ? undefined
          : attemptValue(() => SslSession.fromDer(fromHex(der), this.#wholeNow()))
      this.#print(session === undefined ? '= error' : `= ${this.#name(side, session)}`)
      return
    }
    this.#withSession(side, words[1] ?? '', (session) => {
      if ((what === 'dup' || what === 'as') && !isCopied(session)) this.#print('= error')
      else if (what === 'dup') this.#print(`= ${this.#name(side, session.dup())}`)
      else if (what === 'as') this.#print(`= ${this.#name(side, withId(session.dup(), fromHex(argument)))}`)
      else if (what === 'sethost') session.setHostname(argument === '-' ? undefined : fromHex(argument))
      else if (what === 'setdata') session.setTicketAppData(fromHex(argument))
      else if (what === 'settime') session.setTime(Number(argument))
      else if (what === 'settimeout') session.setTimeout(Number(argument))
      else if (what === 'setctx')
        this.#print(`= ${attempt(() => session.setSessionIdContext(fromHex(argument)))}`)
      else {
        const name = this.#names.get(session)
        // What a handshake that was cut short has made of it is no affair of the model.
        const unfinished = this.#material.peek(`= ${name}`)?.[2] ?? '-'
        this.#print(`= ${name} ${this.#der(session) || unfinished}`)
      }
    })
  }

  /** Empty for a session that cannot be encoded yet. */
  #der(session: SslSession): string {
    const der = toHex(derOf(session))
    return this.#switches.KEXGROUP || der === '' ? der : withoutKexGroup(der)
  }

  #wholeNow(): number {
    return this.#switches.OSSLTIME ? this.#nowMs : Math.floor(this.#nowMs / 1000) * 1000
  }

  #withSession(side: SideName, reference: string, use: (session: SslSession) => void): void {
    const list = this.#sessions[side]
    const session = reference.startsWith('#') ? list.at(Number(reference.slice(1)) % list.length) : undefined
    if (session === undefined) this.#print('= none')
    else use(session)
  }

  #name(side: SideName, session: SslSession): string {
    const known = this.#names.get(session)
    if (known !== undefined) return known
    const name = `${side}${this.#sessions[side].length}`
    this.#sessions[side].push(session)
    this.#names.set(session, name)
    return name
  }

  // ---- connections ----

  #onConnection(what: string, words: readonly string[]): void {
    const k = Number(words[0]) % 8
    const connection = this.#connections[k]
    if (what === 'open') this.#open(k)
    else if (connection?.state === 'replaced' && what !== 'free' && what !== 'clear') this.#print('= none')
    else if (connection?.state === 'stuck' && what !== 'free') this.#print('= none')
    else if (what === 'repeat') this.#repeat(k, Number(words[1]))
    else if (connection === undefined) this.#print('= none')
    else this.#onOpenConnection(what, k, connection, words.slice(1))
  }

  #onOpenConnection(what: string, k: number, connection: TraceConnection, words: readonly string[]): void {
    const side: SideName = words[0] === 'c' ? 'c' : 's'
    const operations: Record<string, () => void> = {
      set: () => this.#set(connection, words[0] ?? ''),
      handshake: () => this.#handshake(k, connection, words[0] === 'early'),
      ticket: () => this.#ticket(k, connection, Number(words[0] ?? '1')),
      auth: () => this.#authenticate(k, connection),
      reneg: () => this.#renegotiate(k, connection, words[0] === 'full', 'c'),
      ask: () => this.#renegotiate(k, connection, words[0] === 'full', 's'),
      cut: () => {
        connection.cut = side
      },
      clear: () => this.#clear(connection),
      free: () => this.#free(k),
      conn: () => this.#configure(connection, side, words[1] ?? '', words[2] ?? ''),
      has: () =>
        this.#withSession('s', words[0] ?? '', (session) =>
          this.#print(`= ${Number(connection.s.hasMatchingSessionId(session.sessionId))}`),
        ),
      switch: () => this.#switch(connection, words[0] === 'T' ? this.#other : this.#contexts.s),
      sent: () => {
        connection[side].setShutdown(true, false)
        connection.sent[side] = true
        connection.received[side] = false
      },
    }
    const operation = operations[what]
    if (operation !== undefined) operation()
    else if (connection.state === 'fresh') this.#print('= none')
    else if (what === 'read') this.#print(`= ${this.#read(k, connection, side)}`)
    else if (what === 'shutdown') this.#print(`= ${this.#shutdown(k, connection, side)}`)
    else this.#endTransport(k, connection, side, what === 'garbage')
  }

  #open(k: number): void {
    this.#print(this.#connections[k] === undefined ? '= ok' : '= busy')
    this.#connections[k] ??= this.#newConnection()
  }

  #newConnection(): TraceConnection {
    const { s, c } = this.#contexts
    const connection: TraceConnection = {
      s: s.model.newConnection(),
      c: c.model.newConnection(),
      maxVersion: { s: s.maxVersion, c: c.maxVersion },
      groups: { s: s.groups, c: c.groups },
      numTickets: s.model.getNumTickets(),
      verifyMode: s.model.getVerifyMode(),
      current: s,
      isFirst: true,
      hasLegacyId: false,
      isRetried: false,
      isIllegible: false,
      hasResumedItsOwn: false,
      hasOffered: false,
      state: 'fresh',
      done: { s: false, c: false },
      failed: { s: false, c: false },
      sent: { s: false, c: false },
      received: { s: false, c: false },
      quiet: { s: false, c: false },
      psk: { s: false, c: false },
      isPskOffered: false,
      isPskChosen: false,
      ended: { s: false, c: false },
      cut: undefined,
      isCut: false,
      hasAuthenticated: false,
      earlyData: undefined,
      tickets: [],
    }
    return connection
  }

  #set(connection: TraceConnection, reference: string): void {
    const list = this.#sessions.c
    const session = reference.startsWith('#') ? list.at(Number(reference.slice(1)) % list.length) : undefined
    if (session === undefined && connection.state !== 'fresh') this.#print('= none')
    else this.#print(`= ${Number(connection.c.setSession(session))}`)
    if (session !== undefined && connection.state !== 'fresh') connection.state = 'replaced'
  }

  #configure(connection: TraceConnection, side: SideName, what: string, argument: string): void {
    const ssl = connection[side]
    const value = Number(argument)
    if (what === 'sidctx') this.#print(`= ${attempt(() => ssl.setSessionIdContext(fromHex(argument)))}`)
    else if (what === 'verify') {
      ssl.setVerifyMode(value)
      if (side === 's') connection.verifyMode = value
    } else if (what === 'options') ssl.setOptions(this.#knownOptions(value))
    else if (what === 'without') ssl.clearOptions(this.#knownOptions(value))
    else if (what === 'quiet') {
      ssl.setQuietShutdown(value === 1)
      connection.quiet[side] = value === 1
    } else if (what === 'tickets') {
      ssl.setNumTickets(value)
      if (side === 's') connection.numTickets = value
    } else if (what === 'early') ssl.setMaxEarlyData(value)
    else if (what === 'psk') connection.psk[side] = value === 1
    else if (what === 'groups') connection.groups[side] = value
    else ssl.setGenerateSessionId(this.#generator(value))
  }

  #free(k: number): void {
    const connection = this.#connections[k]
    connection?.c.free()
    connection?.s.free()
    this.#connections[k] = undefined
  }

  #clear(connection: TraceConnection): void {
    const client = connection.c.clear()
    const server = connection.s.clear()
    const has = `${Number(connection.c.session !== undefined)}${Number(connection.s.session !== undefined)}`
    this.#print(`= ${Number(client)} ${Number(server)} ${has}`)
    for (const side of ['s', 'c'] as const)
      for (const flag of ['done', 'failed', 'sent', 'received', 'ended'] as const)
        connection[flag][side] = false
    connection.state = client && server && !connection.hasAuthenticated ? 'fresh' : 'stuck'
    connection.hasResumedItsOwn = false
    connection.tickets.length = 0
  }

  #repeat(k: number, count: number): void {
    const turns = this.#material.split('turn')
    for (let turn = 0; turn < count; turn++) {
      this.#print('turn')
      this.#material = turns[turn] ?? new Material([])
      const connection = this.#connections[k] ?? this.#newConnection()
      this.#connections[k] = connection
      this.#handshake(k, connection)
      this.#print(`= ${this.#read(k, connection, 'c')}`)
      this.#shutdown(k, connection, 's')
      this.#shutdown(k, connection, 'c')
      this.#free(k)
    }
  }

  #fail(k: number, connection: TraceConnection, side: SideName, alert: number | undefined): void {
    connection.failed[side] = true
    if (alert !== undefined) this.#print(`alert ${k} ${side} 2 ${alert === 51 ? this.#binderAlert() : alert}`)
  }

  // ---- handshakes ----

  #handshake(k: number, connection: TraceConnection, isEarly: boolean = false): void {
    if (connection.state !== 'fresh') {
      this.#print('= done')
      return
    }
    connection.earlyData = isEarly ? (this.#mayWriteEarly(connection) ? 'rejected' : 'none') : undefined
    connection.hasResumedItsOwn = false
    connection.isRetried = false
    connection.isCut = false
    connection.isFirst = true
    connection.c.connect()
    this.#negotiate(k, connection, () => connection.s.accept())
  }

  /** @param from - who wants it */
  #renegotiate(k: number, connection: TraceConnection, full: boolean, from: SideName): void {
    const isClosing = connection.sent.c || connection.sent.s || connection.received.c || connection.received.s
    if (
      connection.state !== 'established' ||
      isClosing ||
      connection.c.session?.protocolVersion !== connection.c.protocolVersion
    ) {
      this.#print('= none')
      return
    }
    const result = connection.c.protocolVersion === TLS1_3_VERSION ? 0 : 1
    this.#print(`= ${result}`)
    if (result === 0) return
    connection.done.s = false
    connection.done.c = false
    connection.isFirst = false
    // What a server asks for is its own affair: the client does not hear of it.
    connection.c.connect(full && from === 'c' ? 'full' : 'abbreviated')
    // Until its handshake has ended, libssl counts a server that has asked at each of its steps.
    if (from === 's') connection.current.state.counters.acceptRenegotiate += HELLO_REQUEST_STEPS
    this.#negotiate(k, connection, () => connection.s.accept(full || from === 'c' ? 'full' : 'abbreviated'))
  }

  #negotiate(k: number, connection: TraceConnection, accept: () => void): void {
    this.#serverK = k
    const isRenegotiation = connection.state === 'established'
    const version = isRenegotiation
      ? connection.s.protocolVersion
      : Math.min(connection.maxVersion.s, connection.maxVersion.c)
    const before = connection.c.session
    const offer = this.#clientHello(k, connection, isRenegotiation ? version : connection.maxVersion.c)
    connection.hasOffered = before !== undefined && before === connection.c.session
    accept()
    if (this.#switching === 'hello') this.#switch(connection, this.#other)
    if (version === TLS1_3_VERSION) this.#negotiateTls13(k, connection, offer)
    else this.#negotiateTls12(k, connection, offer)
    connection.state =
      connection.isCut || (connection.earlyData !== undefined && connection.failed.s)
        ? 'replaced'
        : connection.done.s && connection.done.c
          ? 'established'
          : 'failed'
    connection.cut = undefined
    this.#printHandshake(k, connection)
  }

  /** A flight to this side may be lost, and an alert come in its place. @returns whether it is so */
  #isCut(k: number, connection: TraceConnection, side: SideName): boolean {
    if (connection.cut !== side) return false
    const words = this.#material.take(`recv ${k} ${side}`) ?? []
    connection.isCut = true
    this.#print(words.join(' '))
    const isFatal = words[3] === '2'
    const ssl = connection[side]
    ssl.receiveAlert(isFatal ? 'fatal' : 'warning', Number(words[4]))
    const isOver = !ssl.isHandshaking
    // The client knows the version from the ServerHello on.
    const isVersionKnown13 = side === 's' && ssl.protocolVersion === TLS1_3_VERSION
    if (isOver && !isFatal && words[4] === '100' && !isVersionKnown13) this.#fail(k, connection, side, 40)
    // A clean end is none within a handshake.
    if (isOver || words[4] === '0') connection.failed[side] = true
    return true
  }

  #clientHello(
    k: number,
    connection: TraceConnection,
    maxVersion: number,
    helloRetryCipherSuite?: number,
  ): ClientOffer {
    const observed = this.#material.take(`hello ${k}`)
    const random = observed?.[2] ?? '-'
    // It must not be drawn again after a HelloRetryRequest, nor where libssl has drawn none.
    this.#clientRandom =
      helloRetryCipherSuite === undefined && random !== '-' ? random : 'ff'.repeat(MAX_ID_LENGTH)
    const made = connection.c.clientHello({
      minVersion: TLS1_2_VERSION,
      maxVersion,
      ...(helloRetryCipherSuite === undefined ? {} : { helloRetryCipherSuite }),
    })
    this.#clientRandom = undefined
    const isTooOld = made.psk !== undefined && this.#hasWrappedAge(connection.c.session)
    const offer = isTooOld ? { ...made, psk: undefined } : made
    const ticket = offer.ticket === undefined ? 'none' : toHex(offer.ticket) || '-'
    connection.isPskOffered =
      connection.psk.c &&
      maxVersion === TLS1_3_VERSION &&
      connection.c.session?.protocolVersion === TLS1_3_VERSION &&
      cipherSuiteHash(helloRetryCipherSuite ?? PSK_SUITE) === cipherSuiteHash(PSK_SUITE)
    const first = offer.psk ?? (connection.isPskOffered ? PSK_OFFER : undefined)
    const psk = first === undefined ? 'none' : `${toHex(first.identity)}:${first.obfuscatedTicketAge}`
    this.#print(`hello ${k} ${toHex(offer.sessionId) || '-'} ${ticket} ${psk}`)
    return offer
  }

  #suites(context: TraceContext, version: number): readonly number[] {
    return (version === TLS1_3_VERSION ? SUITES_13 : SUITES_12)[context.suite] ?? []
  }

  /** Those of the context that the server has been switched to. */
  #chooseSuite(connection: TraceConnection, version: number): number | undefined {
    const known = this.#suites(connection.current, version)
    return this.#suites(this.#contexts.c, version).find((suite) => known.includes(suite))
  }

  #kexGroup(connection: TraceConnection): number {
    if (!this.#switches.KEXGROUP) return 0
    return connection.groups.s === 0 && connection.groups.c === 0 ? X25519 : P256
  }

  /** @returns undefined when the server has failed */
  #resume(k: number, connection: TraceConnection, offer: ResumptionOffer): boolean | undefined {
    const resumed = this.#decide(k, connection, offer)
    if (resumed === undefined) return undefined
    if (this.#switching === 'refuse') {
      this.#sendAlert(k, connection, 's', 112)
      return undefined
    }
    if (this.#switching === 'warn' && offer.protocolVersion !== TLS1_3_VERSION) {
      connection.s.sendAlert('warning', 112)
      this.#print(`alert ${k} s 1 112`)
    }
    if (this.#switching === 'ticketless') connection.s.setOptions(SslOption.NO_TICKET)
    if (this.#switching !== 'name') return resumed
    const before = connection.current
    this.#switch(connection, this.#other)
    // SNICOUNT: before it, the context was looked at after the callback.
    if (!connection.isRetried && !this.#switches.SNICOUNT) this.#count(before, connection.current, connection)
    return resumed
  }

  /** R7: the first handshake of a connection. */
  #count(from: TraceContext, to: TraceContext, { isFirst }: TraceConnection): void {
    if (from === to || !isFirst) return
    from.state.counters.accept--
    to.state.counters.accept++
  }

  #switch(connection: TraceConnection, context: TraceContext): void {
    connection.current = context
    context.model.adoptConnection(connection.s)
  }

  /** @returns undefined when the server has failed */
  #decide(k: number, connection: TraceConnection, offer: ResumptionOffer): boolean | undefined {
    const before = connection.s.session
    const isTls13 = offer.protocolVersion === TLS1_3_VERSION
    let isFound = false
    const examine = (): Examination => {
      isFound = true
      return { isDeclined: false, sessionIdContext: connection.s.sessionIdContext }
    }
    const verdict = connection.s.resumeSession({ ...offer, examine })
    this.#flags.unhide()
    if (!('resume' in verdict)) throw new Error('a synchronous callback made a promise')
    if (connection.earlyData !== undefined && connection.earlyData !== 'none')
      connection.earlyData = this.#isEarlyDataAccepted(verdict) ? 'accepted' : 'rejected'
    connection.isPskChosen = verdict.resume && verdict.source === 'external-psk'
    if (verdict.resume) return true
    const isReissued = this.#switches.REISSUE || verdict.reason !== 'cipher-hash-mismatch'
    connection.s.setNumTickets(isReissued ? connection.numTickets : 0)
    if (verdict.alert !== undefined) {
      // SRVCLEAR: before it, the alert was the end of what the server had from before.
      if (isTls13 && before !== undefined && !isFound && !this.#switches.SRVCLEAR) {
        this.#contexts.s.model.removeSession(before)
        connection.s.setSession(before)
      }
      const isJudged = isTls13 || connection.s.session === before
      this.#fail(
        k,
        connection,
        's',
        this.#switches.EMSALERT || !isJudged || verdict.reason !== 'extended-master-secret-dropped'
          ? verdict.alert
          : 47,
      )
      const hasKeys = connection.s.session !== undefined || this.#switches.CLEARALERT
      connection.isIllegible = !isTls13 && !connection.isFirst && !hasKeys
      return undefined
    }
    if (!isTls13 || before === undefined || isFound || this.#switches.SRVCLEAR) return false
    return this.#resumeItsOwn(k, connection, before)
  }

  /** OSSLTIME: before it, the age of a session that is from the future was about 2^32. */
  #hasWrappedAge(session: SslSession | undefined): boolean {
    return !this.#switches.OSSLTIME && (session?.timeSec ?? 0) * 1000 > this.#nowMs
  }

  #mayWriteEarly({ c, maxVersion }: TraceConnection): boolean {
    const { session } = c
    if (session?.isResumable !== true || Math.min(maxVersion.s, maxVersion.c) !== TLS1_3_VERSION) return false
    const { hostname, alpnSelected } = contentOf(session)
    return (
      session.protocolVersion === TLS1_3_VERSION &&
      session.maxEarlyData > 0 &&
      hostname === undefined &&
      alpnSelected === undefined
    )
  }

  /** R10.11: the protocol that the session has is not negotiated anew. */
  #isEarlyDataAccepted(verdict: ResumptionVerdict): boolean {
    return (
      verdict.resume &&
      verdict.earlyDataAllowed &&
      contentOf(verdict.session).alpnSelected === undefined &&
      !this.#hasWrappedAge(verdict.session)
    )
  }

  /** SRVCLEAR: a session that the server had before is as good as one that a PSK stands for. */
  #resumeItsOwn(k: number, connection: TraceConnection, session: SslSession): boolean | undefined {
    const { counters } = this.#contexts.s.state
    const objection = judgeSession(session, this.#wholeNow(), {
      protocolVersion: TLS1_3_VERSION,
      sessionIdContext: connection.s.sessionIdContext,
      verifyMode: connection.verifyMode,
      extendedMasterSecret: false,
    })
    if (objection?.reason === 'expired') counters.timeouts++
    if (objection !== undefined && objection.alert === undefined) {
      // As after any session that is refused. REISSUE: a PSK of another hash had spoiled that.
      connection.s.setNumTickets(connection.numTickets)
      return false
    }
    connection.s.setSession(session)
    if (objection?.alert !== undefined) {
      this.#sendAlert(k, connection, 's', objection.alert)
      connection.s.setSession(undefined)
      // It has not come to where the model has counted it.
      if (!connection.isRetried) this.#count(connection.current, this.#contexts.s, connection)
      return undefined
    }
    counters.hits++
    connection.hasResumedItsOwn = true
    return true
  }

  #serverHello(
    { s, hasResumedItsOwn, isPskChosen }: TraceConnection,
    resumed: boolean,
  ): ServerHelloParameters {
    if (hasResumedItsOwn) return { sessionId: new Uint8Array(0), ticketExpected: false }
    const isKept = resumed && !isPskChosen && !this.#switches.MFLUNSET
    return this.#keepingFragmentLength(s, isKept, () => s.serverHello())
  }

  #processServerHello(
    { c, hasOffered, hasResumedItsOwn }: TraceConnection,
    hello: ServerHello,
  ): ServerHelloVerdict {
    // SRVCLEAR: the client fails before EncryptedExtensions, which would have decided it.
    const isKept = hasResumedItsOwn || (hasOffered && !this.#switches.MFLUNSET)
    return this.#keepingFragmentLength(c, isKept, () => c.processServerHello(hello))
  }

  /** MFLUNSET: before it, 255 was a number like any other, which came with DER alone. */
  #keepingFragmentLength<T>(connection: SslConnection, isKept: boolean, call: () => T): T {
    const { session } = connection
    const isUnset = session !== undefined && contentOf(session).maxFragmentLengthMode === 255
    const result = call()
    if (isKept && isUnset && connection.session === session)
      sessionInternals.update(session, { maxFragmentLengthMode: 255 })
    return result
  }

  #sendAlert(k: number, connection: TraceConnection, side: SideName, description: number): void {
    const isSent = connection[side].sendAlert('fatal', description)
    this.#fail(k, connection, side, isSent ? description : undefined)
  }

  #negotiateTls13(k: number, connection: TraceConnection, first: ClientOffer): void {
    connection.isPskChosen = false
    const suite = this.#chooseSuite(connection, TLS1_3_VERSION)
    if (suite === undefined) {
      this.#sendAlert(k, connection, 's', 40)
      return
    }
    let resumed = this.#resume(k, connection, this.#tls13Offer(connection, first, suite))
    if (resumed === undefined) return
    this.#serverHello(connection, resumed)
    this.#flags.blank(connection.s.session)
    let offer = first
    if (first.sessionId.length > 0) connection.hasLegacyId = true
    else if (connection.hasLegacyId) {
      // SSL_clear keeps the legacy id of the ClientHello before, which the client then misses in the ServerHello.
      if (connection.groups.s === 1 && connection.groups.c === 0) connection.s.helloRetryRequest()
      this.#sendAlert(k, connection, 'c', 47)
      return
    }
    if (connection.groups.s === 1 && connection.groups.c === 0) {
      connection.s.helloRetryRequest()
      connection.isRetried = true
      connection.hasResumedItsOwn = false
      if (this.#isCut(k, connection, 'c')) return
      connection.c.receiveHelloRetryRequest()
      offer = this.#clientHello(k, connection, TLS1_3_VERSION, suite)
      if (this.#isCut(k, connection, 's')) return
      const second = this.#chooseSuite(connection, TLS1_3_VERSION)
      if (second !== suite) {
        // The servername callback has switched to a context with other cipher suites, or with none that the client has.
        this.#sendAlert(k, connection, 's', second === undefined ? 40 : 47)
        return
      }
      resumed = this.#resume(k, connection, this.#tls13Offer(connection, offer, suite))
      if (resumed === undefined) return
      this.#serverHello(connection, resumed)
      this.#flags.blank(connection.s.session)
    }
    // The key share comes to what is resumed before a client that is to fail, or has the same object, gets to see it.
    const { session: before } = connection.s
    if (resumed && before !== undefined)
      sessionInternals.update(before, { kexGroup: this.#kexGroup(connection) })
    if (connection.earlyData === 'accepted' && connection.s.session?.maxEarlyData === 0) {
      // The client's copy still allows some, as the ticket before had said: more than the server's allows.
      this.#sendAlert(k, connection, 's', 10)
      return
    }
    if (this.#isCut(k, connection, 'c')) return
    if (connection.hasResumedItsOwn && offer.psk === undefined) {
      // An extension that it has not asked for.
      this.#sendAlert(k, connection, 'c', 110)
      return
    }
    if (connection.isPskChosen) this.#usePsk(connection)
    const { session } = connection.c
    const isUnset = session !== undefined && contentOf(session).maxFragmentLengthMode === 255
    const verdict = this.#processServerHello(connection, {
      protocolVersion: TLS1_3_VERSION,
      sessionId: offer.sessionId,
      cipherSuite: suite,
      pskSelected: resumed,
    })
    if (verdict.alert !== undefined) {
      this.#fail(k, connection, 'c', verdict.alert)
      return
    }
    if (connection.hasResumedItsOwn) {
      // By chance it is the one that the client has offered, and the handshake goes on as none does that the model knows.
      if (equalBytes(contentOf(session).masterKey, contentOf(connection.s.session).masterKey))
        throw new BeyondDriver()
      // The key share comes before what tells the client that they have different secrets.
      const kexGroup = this.#kexGroup(connection)
      if (session !== undefined && contentOf(session).kexGroup !== kexGroup) {
        const copy = sessionInternals.duplicateWithoutTicket(session)
        sessionInternals.update(copy, { kexGroup })
        connection.c.setSession(copy)
      }
      this.#sendAlert(k, connection, 'c', 20)
      return
    }
    this.#finish(k, connection, 'c', suite)
    // A copy was made for another group before EncryptedExtensions said more. The model has decided it with the ServerHello.
    if (isUnset && session !== undefined && verdict.resume && connection.c.session !== session)
      sessionInternals.update(session, { maxFragmentLengthMode: 255 })
    if (this.#isCut(k, connection, 's')) return
    this.#finish(k, connection, 's', suite)
    this.#issueTickets(k, connection)
  }

  #tls13Offer(connection: TraceConnection, offer: ClientOffer, selectedCipherSuite: number): ResumptionOffer {
    const { psk } = offer
    const base = {
      protocolVersion: TLS1_3_VERSION,
      sessionId: offer.sessionId,
      selectedCipherSuite,
      pskModeSupported: true,
    }
    const others = connection.isPskOffered ? [this.#pskIdentity(connection)] : []
    if (psk === undefined) return others.length === 0 ? base : { ...base, pskIdentities: others }
    const identity = {
      identity: psk.identity,
      obfuscatedTicketAge: psk.obfuscatedTicketAge,
      ticket: this.#unseal(psk.identity, 'success-renew'),
      verifyBinder: (session: SslSession) => {
        // OSSLTIME: before it, an age that had passed 2^32 was understood.
        if (!this.#switches.OSSLTIME && psk.obfuscatedTicketAge < contentOf(session).ticketAgeAdd)
          identity.obfuscatedTicketAge = psk.obfuscatedTicketAge + 2 ** 32
        return this.#verifyBinder(connection, session)
      },
    }
    return { ...base, pskIdentities: [identity, ...others] }
  }

  #pskIdentity({ psk }: TraceConnection): PskIdentity {
    return psk.s
      ? { ...PSK_OFFER, externalPsk: this.#makePsk() }
      : { ...PSK_OFFER, ticket: { status: 'no-decrypt' } }
  }

  /** @param ticket - so that the model has something to offer */
  #makePsk(ticket?: Uint8Array): SslSession {
    const session = new SslSession(this.#wholeNow())
    sessionInternals.update(session, {
      protocolVersion: TLS1_3_VERSION,
      cipherSuite: PSK_SUITE,
      masterKey: new Uint8Array(48).fill(0xee),
      ...(ticket === undefined ? {} : { ticket }),
    })
    return session
  }

  /** The model's client knows no PSK from outside: it is given a session that does as well. */
  #usePsk(connection: TraceConnection): void {
    const { c } = connection
    this.#clientRandom = '-'
    c.setSession(this.#makePsk(PSK_OFFER.identity))
    c.clientHello({ minVersion: TLS1_3_VERSION, maxVersion: TLS1_3_VERSION })
    this.#clientRandom = undefined
    c.setSession(this.#makePsk())
    connection.hasOffered = false
  }

  /** Both sides hold the same secret; a binder of another hash has another length, which is a matter of syntax. */
  #verifyBinder({ c }: TraceConnection, session: SslSession): boolean {
    this.#isBinderMalformed = cipherSuiteHash(c.session?.cipherSuite) !== cipherSuiteHash(session.cipherSuite)
    return (
      !this.#isBinderMalformed && equalBytes(contentOf(c.session).masterKey, contentOf(session).masterKey)
    )
  }

  #binderAlert(): number {
    if (this.#isBinderMalformed) return 50
    return this.#switches.BINDERALERT ? 51 : 47
  }

  #unseal(ticket: Uint8Array, success: 'success' | 'success-renew'): TicketOffer {
    const der = this.#tickets.get(toHex(ticket))
    if (der === undefined || this.#isKeyless) return { status: 'no-decrypt' }
    const status = ([success, 'success', 'success-renew', 'ignored', 'no-decrypt'] as const)[this.#decrypting]
    if (status === undefined || status === 'ignored' || status === 'no-decrypt')
      return { status: status ?? 'no-decrypt' }
    return { status, session: SslSession.fromDer(fromHex(der), this.#wholeNow()) }
  }

  #negotiateTls12(k: number, connection: TraceConnection, offer: ClientOffer): void {
    const { s, c } = connection
    const extendedMasterSecret = (c.setOptions(0) & SslOption.NO_EXTENDED_MASTER_SECRET) === 0
    const resumed = this.#resume(k, connection, {
      protocolVersion: TLS1_2_VERSION,
      sessionId: offer.sessionId,
      extendedMasterSecret,
      cipherSuites: this.#suites(this.#contexts.c, TLS1_2_VERSION),
      ...(offer.ticket === undefined ? {} : { ticket: this.#tls12Ticket(offer.ticket) }),
    })
    if (resumed === undefined) return
    const suite = resumed ? s.session?.cipherSuite : this.#chooseSuite(connection, TLS1_2_VERSION)
    if (suite === undefined) {
      this.#sendAlert(k, connection, 's', 40)
      return
    }
    const { ticketExpected, ...hello } = this.#serverHello(connection, resumed)
    const sessionId = this.#flags.blank(s.session) ? new Uint8Array(0) : hello.sessionId
    const serverHasEms = (s.setOptions(0) & SslOption.NO_EXTENDED_MASTER_SECRET) === 0
    if (resumed && ticketExpected) this.#issueTls12Ticket(k, connection)
    if (this.#isCut(k, connection, 'c')) return
    const warning = this.#switching === 'warn' ? this.#material.take(`recv ${k} c 1`) : undefined
    if (warning !== undefined) {
      this.#print(warning.join(' '))
      c.receiveAlert('warning', Number(warning[4]))
    }
    const verdict = this.#processServerHello(connection, {
      protocolVersion: TLS1_2_VERSION,
      sessionId,
      cipherSuite: suite,
      extendedMasterSecret: extendedMasterSecret && serverHasEms,
    })
    if (verdict.alert !== undefined) {
      this.#fail(k, connection, 'c', verdict.alert)
      return
    }
    if (verdict.resume !== resumed) {
      // An id callback has made the id again that the client has offered: where it awaits Finished, it gets a Certificate.
      // Or, before NORES, it has not got the id.
      this.#sendAlert(k, connection, 'c', 10)
      return
    }
    if (!resumed && s.session?.extendedMasterSecret !== c.session?.extendedMasterSecret) {
      // A client goes on with a session without an id, as if its extended master secret were that of this handshake.
      this.#sendAlert(k, connection, 's', 20)
      return
    }
    this.#completeTls12(k, connection, suite, resumed, !resumed && ticketExpected)
  }

  #tls12Ticket(ticket: Uint8Array): TicketOffer {
    return ticket.length === 0 ? { status: 'empty' } : this.#unseal(ticket, 'success')
  }

  /** Resumed, the client finishes last to speak and first to be done; in a full handshake it is the other way round. */
  #completeTls12(
    k: number,
    connection: TraceConnection,
    suite: number,
    resumed: boolean,
    withTicket: boolean,
  ): void {
    if (resumed) {
      this.#readTickets(k, connection)
      if (!equalBytes(contentOf(connection.c.session).masterKey, contentOf(connection.s.session).masterKey)) {
        // A client that went on with a session without an id has another secret by now than its ticket.
        this.#sendAlert(k, connection, 'c', 20)
        return
      }
      this.#finish(k, connection, 'c', suite)
      if (this.#isCut(k, connection, 's')) return
      this.#finish(k, connection, 's', suite)
      return
    }
    if (this.#isCut(k, connection, 's')) return
    if (withTicket) this.#issueTls12Ticket(k, connection, this.#outcome(k, connection, 's', suite))
    this.#finish(k, connection, 's', suite)
    this.#readTickets(k, connection)
    this.#finish(k, connection, 'c', suite)
  }

  #readTickets(k: number, connection: TraceConnection): void {
    for (
      let words = this.#material.take(`nst ${k}`);
      words !== undefined;
      words = this.#material.take(`nst ${k}`)
    )
      this.#receiveTicket(connection, words)
  }

  #finish(k: number, connection: TraceConnection, side: SideName, suite: number): void {
    const outcome = connection[side].sessionReused
      ? connection[side].protocolVersion === TLS1_3_VERSION
        ? { cipherSuite: suite, kexGroup: this.#kexGroup(connection) }
        : {}
      : this.#outcome(k, connection, side, suite)
    this.#flags.copying(connection[side], () => connection[side].finishHandshake(outcome))
    if (side === 's') connection.s.setNumTickets(connection.numTickets)
    connection.done[side] = true
  }

  /** What the key exchange made, of which the model knows nothing. */
  #outcome(k: number, connection: TraceConnection, side: SideName, suite: number): NegotiatedSession {
    // A server that fails at its second ticket has shown what it has in the first.
    const ticketed = side === 's' ? this.#material.peek(`tick ${k}`)?.[2] : undefined
    const observed = decode(this.#material.peek(`sess ${k} ${side}`)?.[6]) ?? decode(ticketed)
    return {
      cipherSuite: suite,
      masterKey: observed?.masterKey ?? new Uint8Array(0),
      // Clients show no certificate: a server has nothing to say, unless it has resumed a session before that one.
      ...(side === 's' && observed?.verifyResult === 0 ? {} : { verifyResult: observed?.verifyResult ?? 0 }),
      kexGroup: this.#kexGroup(connection),
      ...(observed?.peerCertificate === undefined ? {} : { peerCertificate: observed.peerCertificate }),
    }
  }

  // ---- tickets ----

  #issueTls12Ticket(k: number, connection: TraceConnection, material: TicketMaterial = {}): void {
    this.#material.take(`tick ${k}`)
    const issued = connection.s.issueTicket(material)
    if ('alert' in issued) throw new Error('a TLS 1.2 ticket needs no id')
    const der = this.#der(issued.session)
    this.#print(`tick ${k} ${der}`)
    connection.tickets.push({ der, lifetimeHintSec: this.#isKeyless ? 0 : issued.lifetimeHintSec })
  }

  #issueTickets(k: number, connection: TraceConnection): void {
    while (connection.s.isTicketDue) {
      const observed = decode(this.#material.peek(`tick ${k}`)?.[2])
      const { verifyResult: _, ...material } = {
        masterKey: observed?.masterKey ?? new Uint8Array(0),
        ticketAgeAdd: observed?.ticketAgeAdd ?? 0,
        verifyResult: 0,
      }
      const at = this.#lines.length
      const issued = this.#flags.copying(connection.s, () => connection.s.issueTicket(material))
      if ('alert' in issued) {
        this.#fail(k, connection, 's', connection.sent.s ? undefined : issued.alert)
        connection.done.s = false
        return
      }
      this.#material.take(`tick ${k}`)
      const der = this.#der(issued.session)
      // The ticket is observed as it is built: after its id was drawn, before the cache hears of it.
      const drawn = this.#lines.slice(at).filter((line) => line.startsWith('id ')).length
      this.#lines.splice(at + drawn, 0, `tick ${k} ${der}`)
      const lifetimeHintSec = this.#switches.LIFECAP ? issued.lifetimeHintSec : issued.session.timeoutSec
      connection.tickets.push({ der, lifetimeHintSec })
    }
  }

  #ticket(k: number, connection: TraceConnection, count: number): void {
    if (connection.state !== 'established' && connection.state !== 'fresh') {
      this.#print('= none')
      return
    }
    this.#serverK = k
    let result = false
    for (let ticket = 0; ticket < count; ticket++)
      result = this.#switches.EXTRATICKET && connection.s.newSessionTicket()
    this.#print(`= ${Number(result)}`)
    if (result) this.#issueTickets(k, connection)
    if (connection.failed.s) connection.state = 'stuck'
  }

  /** The client has no certificate: R10.2. */
  #authenticate(k: number, connection: TraceConnection): void {
    const { s, sent, received } = connection
    const isClosing = sent.c || sent.s || received.c || received.s
    if (connection.state !== 'established' || s.protocolVersion !== TLS1_3_VERSION || isClosing) {
      this.#print('= none')
      return
    }
    this.#serverK = k
    this.#print('= 1')
    connection.hasAuthenticated = true
    // The request comes after the tickets that it has not read yet.
    this.#readMessages(k, connection, 'c')
    s.setVerifyMode(VerifyMode.PEER)
    this.#flags.copying(s, () => s.finishPostHandshakeAuth({}))
    this.#issueTickets(k, connection)
    s.setVerifyMode(connection.verifyMode)
    if (connection.failed.s) connection.state = 'stuck'
  }

  /** RFC 9846 §4.7.1 (RFC 8446 §4.6.1), RFC 5077 §3.3. */
  #receiveTicket(connection: TraceConnection, words: readonly string[]): void {
    const issued = connection.tickets.shift()
    const sealed = issued?.der
    const [what, k, text = ''] = words
    // The lifetime is the model's own, all else is material.
    this.#print(
      `${what} ${k} ${(issued?.lifetimeHintSec ?? 0).toString(16).padStart(8, '0')}${text.slice(8)}`,
    )
    const body = Buffer.from(text, 'hex')
    const isTls13 = connection.c.protocolVersion === TLS1_3_VERSION
    const nonceEnd = isTls13 ? 9 + body.readUInt8(8) : 4
    const length = body.readUInt16BE(nonceEnd)
    const ticket = new Uint8Array(body.subarray(nonceEnd + 2, nonceEnd + 2 + length))
    // A stateful ticket is the session id itself.
    if (sealed !== undefined && toHex(decode(sealed)?.sessionId ?? ticket) !== toHex(ticket))
      this.#tickets.set(toHex(ticket), sealed)
    connection.c.receiveTicket({
      lifetimeHintSec: body.readUInt32BE(0),
      ticket,
      ...(isTls13 ? this.#tls13Ticket(body, nonceEnd + 2 + length, sealed) : {}),
    })
  }

  #tls13Ticket(
    body: Buffer,
    extensions: number,
    sealed: string | undefined,
  ): { ticketAgeAdd: number; masterKey: Uint8Array; maxEarlyData?: number } {
    return {
      ticketAgeAdd: body.readUInt32BE(4),
      masterKey: decode(sealed)?.masterKey ?? new Uint8Array(0),
      // The one extension that there is: early_data.
      ...(body.readUInt16BE(extensions) > 0 ? { maxEarlyData: body.readUInt32BE(extensions + 6) } : {}),
    }
  }

  // ---- what arrives ----

  /** Messages that libssl has read, in their order: inputs to the model. */
  #readMessages(k: number, connection: TraceConnection, side: SideName): void {
    const prefixes = side === 'c' ? [`nst ${k}`, `recv ${k} c`] : [`recv ${k} s`]
    for (
      let words = this.#material.take(...prefixes);
      words !== undefined;
      words = this.#material.take(...prefixes)
    ) {
      if (words[0] === 'nst') this.#receiveTicket(connection, words)
      else this.#receiveAlert(connection, side, words)
    }
  }

  #receiveAlert(connection: TraceConnection, side: SideName, words: readonly string[]): void {
    this.#print(words.join(' '))
    const level = words[3] === '2' ? 'fatal' : 'warning'
    connection[side].receiveAlert(level, Number(words[4]))
    connection.received[side] = true
    if (words[4] === '0') return
    connection.failed[side] = true
    connection.ended[side] = true
  }

  /** What has been closed once stays so: SSL_ERROR_ZERO_RETURN, even after a fatal alert. */
  #read(k: number, connection: TraceConnection, side: SideName): string {
    // FATALREAD: it is an error once more.
    if (connection.received[side])
      return this.#switches.FATALREAD && connection.ended[side] ? 'error' : 'zero'
    // Which alert it is differs from release to release, and means nothing.
    if (side === 'c' && connection.isIllegible && !connection.failed.c)
      this.#sendAlert(k, connection, 'c', Number(this.#material.peek(`alert ${k} c`)?.[4] ?? '80'))
    else this.#readMessages(k, connection, side)
    if (connection.failed[side]) {
      connection.state = 'failed'
      return 'error'
    }
    return connection.received[side] ? 'zero' : 'want'
  }

  /** `SSL_shutdown`: the first call sends, the second reads. */
  #shutdown(k: number, connection: TraceConnection, side: SideName): number {
    // A server that reads early data is in no handshake, for SSL_shutdown alone.
    if (side === 's' && connection.earlyData === 'accepted' && !connection.done.s && !connection.failed.s)
      throw new BeyondDriver()
    if (!connection.done[side] || connection.failed[side]) return -1
    if (connection.quiet[side]) {
      const isOver = connection[side].shutdown()
      connection.sent[side] = true
      connection.received[side] = true
      return Number(isOver)
    }
    if (connection.sent[side]) {
      if (!connection.received[side]) this.#readMessages(k, connection, side)
      return connection.received[side] ? 1 : -1
    }
    const isClosed = connection[side].shutdown()
    connection.sent[side] = true
    this.#print(`alert ${k} ${side} 1 0`)
    return Number(isClosed)
  }

  #endTransport(k: number, connection: TraceConnection, side: SideName, withGarbage: boolean): void {
    if (connection.state !== 'established' || connection.failed[side]) {
      this.#print('= none')
      return
    }
    const before = this.#read(k, connection, side)
    if (before !== 'want') {
      this.#print(`= ${before}`)
      return
    }
    this.#print(
      `= ${withGarbage ? this.#badRecord(k, connection, side) : this.#endOfFile(k, connection, side)}`,
    )
  }

  #badRecord(k: number, connection: TraceConnection, side: SideName): string {
    this.#sendAlert(k, connection, side, 20)
    connection.state = 'failed'
    return 'error'
  }

  #endOfFile(k: number, connection: TraceConnection, side: SideName): string {
    if (!this.#switches.EOFFATAL) {
      connection.failed[side] = true
      connection.state = 'failed'
      return 'error'
    }
    const isIgnored = (connection[side].setOptions(0) & SslOption.IGNORE_UNEXPECTED_EOF) !== 0
    const isSent = connection[side].unexpectedEof()
    if (isIgnored) {
      connection.sent[side] = false
      connection.received[side] = true
      return 'zero'
    }
    this.#fail(k, connection, side, isSent ? 50 : undefined)
    connection.state = 'failed'
    return 'error'
  }

  // ---- what has changed ----

  #printHandshake(k: number, connection: TraceConnection): void {
    const { s, c } = connection
    const outcome = (side: SideName): string =>
      connection.failed[side] ? 'fail' : connection.done[side] ? 'ok' : 'wait'
    const reused = `${Number(s.sessionReused || connection.hasResumedItsOwn)}${Number(c.sessionReused)}`
    if (connection.earlyData !== undefined && connection.done.s)
      this.#print(`early ${k} ${['none', 'rejected', 'accepted'].indexOf(connection.earlyData)}`)
    this.#print(`hs ${k} S=${outcome('s')} C=${outcome('c')} reused=${reused} version=${s.protocolVersion}`)
    for (const side of ['s', 'c'] as const) {
      const { session } = connection[side]
      if (session === undefined) continue
      const der = connection.done[side] ? this.#der(session) : '-'
      const id = toHex(session.sessionId) || '-'
      this.#print(
        `sess ${k} ${side} ${this.#name(side, session)} ${session.isResumable ? 'R' : 'N'} ${id} ${der}`,
      )
      this.#material.take(`sess ${k} ${side}`)
    }
  }

  #printChanges(): void {
    if (!this.#isEnded) {
      this.#printContext(this.#contexts.s)
      if (!this.#shared) this.#printContext(this.#contexts.c)
      this.#printContext(this.#other)
    }
    for (const side of ['s', 'c'] as const) {
      for (const session of this.#sessions[side]) {
        const now = `${session.isResumable ? 'R' : 'N'} ${session.timeSec} ${session.timeoutSec}`
        if (this.#shown.get(session) === now) continue
        this.#shown.set(session, now)
        this.#print(`~ ${this.#names.get(session)} ${now}`)
      }
    }
  }

  #printContext(context: TraceContext): void {
    const stats = `stats ${context.letter} ${Object.values(context.model.stats).join(' ')}`
    if (stats !== context.lastStats) this.#print(stats)
    context.lastStats = stats
    const cached = [...context.model.sessions()]
    if (cached.some((session) => !this.#names.has(session)))
      cached.sort((a, b) => Buffer.compare(a.sessionId, b.sessionId))
    const side: SideName = context.letter === 'C' ? 'c' : 's'
    const names = cached.map((session) => this.#name(side, session)).sort(byName)
    const cache = ['cache', context.letter, ...names].join(' ')
    if (cache !== context.lastCache && (context.lastCache !== '' || names.length > 0)) this.#print(cache)
    context.lastCache = cache
  }
}

const connectionOperations = new Set([
  'open',
  'set',
  'handshake',
  'read',
  'ticket',
  'auth',
  'reneg',
  'ask',
  'cut',
  'shutdown',
  'sent',
  'eof',
  'garbage',
  'clear',
  'free',
  'has',
  'conn',
  'repeat',
  'switch',
])

function byName(left: string, right: string): number {
  // Server sessions come first.
  return left[0] === right[0] ? Number(left.slice(1)) - Number(right.slice(1)) : left < right ? 1 : -1
}

function contentOf(session: SslSession | undefined): ReturnType<typeof sessionInternals.content> {
  return sessionInternals.content(session ?? new SslSession())
}

/** libssl takes a copy of nothing for a failure. */
function isCopied(session: SslSession): boolean {
  const { ticket, alpnSelected, ticketAppData } = contentOf(session)
  return [ticket, alpnSelected, ticketAppData].every((bytes) => bytes?.length !== 0)
}

function withId(session: SslSession, sessionId: Uint8Array): SslSession {
  sessionInternals.update(session, { sessionId })
  return session
}

/** Empty for a session that cannot be encoded yet. */
function derOf(session: SslSession): Uint8Array {
  return session.cipherSuite === undefined ? new Uint8Array(0) : session.toDer()
}

function decode(hex: string | undefined): SslSessionFields | undefined {
  return hex === undefined || hex === '-' ? undefined : decodeSslSession(fromHex(hex))
}

function fromHex(hex: string): Uint8Array {
  return hex === '-' ? new Uint8Array(0) : new Uint8Array(Buffer.from(hex, 'hex'))
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** 1, or 0 when it is refused. */
function attempt(change: () => void): number {
  return (
    attemptValue(() => {
      change()
      return 1
    }) ?? 0
  )
}

function attemptValue<T>(make: () => T): T | undefined {
  try {
    return make()
  } catch {
    return undefined
  }
}
