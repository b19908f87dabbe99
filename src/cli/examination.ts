import { decodeSslSession } from '../codec/ssl-session-der.ts'
import {
  clientFacts,
  type EndpointFacts,
  type Examination,
  type MethodFacts,
  type OtherNameFacts,
  type TokenFacts,
  type Trial,
  type TrialKind,
} from './examination-facts.ts'
import { CutOffError, type Failure, HandshakeError, provesTls } from './failure.ts'
import {
  type ClientSettings,
  type Endpoint,
  type Handshake,
  type HandshakeWish,
  labelOf,
  METHODS,
  type Method,
} from './probe.ts'
import { TicketKeyNames } from './ticket-key-names.ts'

export interface ExaminationPlan {
  readonly endpoints: readonly Endpoint[]
  readonly servername: string | undefined
  readonly otherNames: readonly string[]
  readonly attempts: number
  readonly waitSec: number
  readonly settings: ClientSettings
}

/** The world, as an examination needs it. */
export interface ExaminationPorts {
  /** Rejects with {@link CutOffError} when the examination ends before the handshake does. */
  shakeHands(wish: HandshakeWish, settings: ClientSettings): Promise<Handshake>
  /** Ends sooner when the examination does. */
  sleep(milliseconds: number): Promise<unknown>
  /** From 0 to 1, exclusively. */
  random(): number
  /** Told before every step. */
  onStep(step: string): void
  /** Asked before every handshake: whether there may be one more. */
  hasTime(): boolean
}

/** One session and where it comes from. */
interface Kept {
  readonly method: Method
  readonly endpoint: Endpoint
  readonly session: Uint8Array
  /** How many the endpoint had made by then. */
  readonly madeCount: number
}

/** Under other names a few offers tell. */
const MAX_OTHER_NAME_ATTEMPTS = 3
/** More endpoints are compared with their neighbours only. */
const MAX_ENDPOINTS_FOR_ALL_PAIRS = 4
const STATEFUL_TICKET_BYTES = 32
/** Who has kept so many handshakes waiting is asked no more by that method. */
const MAX_TIMEOUTS = 3

/** Probes as planned, one connection after another. */
export async function examine(plan: ExaminationPlan, ports: ExaminationPorts): Promise<Examination> {
  const examiner = new Examiner(plan, ports)
  try {
    for (const endpoint of plan.endpoints) await examiner.meet(endpoint)
    for (const known of examiner.known()) await examiner.offerHere(known)
    await examiner.offerElsewhere()
    await examiner.offerUnderOtherNames()
    await examiner.offerAfterWait()
  } catch (error) {
    if (!(error instanceof CutOffError)) throw error
    return examiner.result(true)
  }
  return examiner.result(false)
}

type Known = Pick<Kept, 'method' | 'endpoint'>

class Examiner {
  readonly #plan: ExaminationPlan
  readonly #ports: ExaminationPorts
  readonly #known: Known[] = []
  readonly #endpoints: EndpointFacts[] = []
  readonly #methods: MethodFacts[] = []
  readonly #otherNames: OtherNameFacts[] = []
  readonly #trials: Trial[] = []
  readonly #madeCounts: Map<string, number> = new Map()
  readonly #timeouts: Map<string, number> = new Map()
  readonly #ticketKeys: TicketKeyNames = new TicketKeyNames()
  readonly #failures: { method: Method; endpoint: string; error: string }[] = []

  constructor(plan: ExaminationPlan, ports: ExaminationPorts) {
    this.#plan = plan
    this.#ports = ports
  }

  /** What can be resumed with at all. */
  known(): readonly Known[] {
    return this.#known
  }

  result(isCutShort: boolean): Examination {
    const { servername, attempts, waitSec, settings } = this.#plan
    return {
      servername,
      client: clientFacts(settings, servername),
      attempts,
      waitSec,
      isCutShort,
      endpoints: this.#endpoints,
      methods: this.#methods.map((facts) => this.#withTicketKeys(facts)),
      otherNames: this.#otherNames,
      trials: this.#trials,
      failures: this.#failures,
    }
  }

  #withTicketKeys(facts: MethodFacts): MethodFacts {
    const { method, endpoint, token } = facts
    const keys = this.#ticketKeys.of(`${method} ${endpoint}`)
    return token === undefined || keys.length === 0 ? facts : { ...facts, token: { ...token, keys } }
  }

  async meet(endpoint: Endpoint): Promise<void> {
    let facts: EndpointFacts = { endpoint: labelOf(endpoint) }
    const failures: Failure[] = []
    try {
      for (const method of METHODS) {
        if (isEnough(method, failures)) continue
        const met = await this.#firstHandshake({ method, endpoint })
        if (met instanceof HandshakeError) failures.push(met.failure)
        else facts = { ...facts, ...identityOf(met) }
      }
      facts = { ...facts, ...(await this.#lookCloser(endpoint, failures)) }
    } catch (error) {
      if (error instanceof CutOffError) facts = { ...facts, isCutOff: true }
      throw error
    } finally {
      this.#endpoints.push(facts)
    }
  }

  async #firstHandshake(known: Known): Promise<Handshake | HandshakeError> {
    this.#step(known, 'first handshake')
    const { method } = known
    const endpoint = labelOf(known.endpoint)
    const handshake = await this.#handshake(known, this.#plan.servername)
    if (handshake instanceof HandshakeError) {
      const { code: error, failure } = handshake
      if (failure.kind !== 'unreachable')
        this.#methods.push({ method, endpoint, support: 'failed', error, failure })
      return handshake
    }
    const { protocol } = handshake
    const token = tokenOf(method, handshake.sessions.at(-1))
    if (token) this.#known.push(known)
    this.#methods.push({
      method,
      endpoint,
      ...(token ? { support: 'sessions', token } : { support: 'none' }),
      ...(protocol !== undefined && { protocol }),
    })
    return handshake
  }

  /** Why what failed has failed, by one more handshake. */
  async #lookCloser(endpoint: Endpoint, failures: readonly Failure[]): Promise<Partial<EndpointFacts>> {
    const [first] = failures
    if (first === undefined) return {}
    const succeeds = this.#methods.some(
      (facts) => facts.endpoint === labelOf(endpoint) && facts.support !== 'failed',
    )
    if (first.kind === 'unreachable') return succeeds ? {} : { unreachable: first.code }
    if (succeeds) return this.#offerBoth(endpoint)
    return failures.some(provesTls) ? { wide: await this.#lookWide(endpoint) } : {}
  }

  /** What clients do that know both versions, when the server refuses one of them. */
  async #offerBoth(endpoint: Endpoint): Promise<Pick<EndpointFacts, 'both'>> {
    const wish = { endpoint, method: 'any', servername: this.#plan.servername } as const
    try {
      await this.#shakeHands(wish)
      return {}
    } catch (error) {
      if (error instanceof HandshakeError) return { both: error.failure }
      throw error
    }
  }

  /** Whether it is the defaults of Node that stand in the way. */
  async #lookWide(endpoint: Endpoint): Promise<NonNullable<EndpointFacts['wide']>> {
    this.#ports.onStep(`${labelOf(endpoint)}: with all versions and ciphers`)
    const wish = { endpoint, method: 'any', servername: this.#plan.servername, isInsecure: true } as const
    try {
      const { protocol, cipher } = await this.#shakeHands(wish)
      return { ...(protocol !== undefined && { protocol }), ...(cipher !== undefined && { cipher }) }
    } catch (error) {
      if (error instanceof HandshakeError) return { failure: error.failure }
      throw error
    }
  }

  async offerHere(known: Known): Promise<void> {
    for (let attempt = 1; attempt <= this.#plan.attempts && this.#isPatient(known); attempt++) {
      this.#step(known, `attempt ${attempt}`)
      const [kept] = await this.#makeSessions(known, 1)
      if (kept === undefined) continue
      await this.#offer(kept, 'next')
      await this.#offer(kept, 'again')
    }
    this.#step(known, 'among other sessions')
    const sessions = await this.#makeSessions(known, this.#plan.attempts)
    for (const kept of shuffled(sessions, this.#ports.random)) await this.#offer(kept, 'later')
  }

  async offerElsewhere(): Promise<void> {
    for (const method of METHODS) {
      const endpoints = this.#known.filter((known) => known.method === method).map(({ endpoint }) => endpoint)
      for (const [from, to] of pairs(endpoints)) {
        this.#step({ method, endpoint: from }, `offered to ${labelOf(to)}`)
        const sessions = await this.#makeSessions({ method, endpoint: from }, this.#plan.attempts)
        for (const kept of sessions) await this.#offer(kept, 'elsewhere', { to })
      }
    }
  }

  async offerUnderOtherNames(): Promise<void> {
    for (const name of this.#plan.otherNames) {
      const [first] = this.#atFirstEndpoint()
      if (first === undefined) return
      this.#otherNames.push({ name, certificate: await this.#certificateUnder(name, first) })
      for (const known of this.#atFirstEndpoint()) {
        this.#step(known, `under ${name}`)
        const count = Math.min(this.#plan.attempts, MAX_OTHER_NAME_ATTEMPTS)
        for (const kept of await this.#makeSessions(known, count))
          await this.#offer(kept, 'other-name', { name })
      }
    }
  }

  async #certificateUnder(name: string, known: Known): Promise<OtherNameFacts['certificate']> {
    const handshake = await this.#handshake(known, name)
    if (handshake instanceof HandshakeError) return 'refused'
    const endpoint = labelOf(known.endpoint)
    const own = this.#endpoints.find((facts) => facts.endpoint === endpoint)?.certificate
    return handshake.certificate?.fingerprint === own?.fingerprint ? 'same' : 'other'
  }

  async offerAfterWait(): Promise<void> {
    const { waitSec, attempts } = this.#plan
    if (waitSec === 0) return
    const sessions: Kept[] = []
    for (const known of this.#atFirstEndpoint()) sessions.push(...(await this.#makeSessions(known, attempts)))
    for (let left = waitSec; left > 0 && this.#ports.hasTime(); left--) {
      this.#ports.onStep(`waiting ${Math.ceil(left)} s`)
      await this.#ports.sleep(Math.min(left, 1) * 1000)
    }
    for (const kept of sessions) await this.#offer(kept, 'after-wait')
  }

  #atFirstEndpoint(): Known[] {
    const first = this.#known[0]?.endpoint
    return this.#known.filter(({ endpoint }) => endpoint === first)
  }

  async #makeSessions(known: Known, count: number): Promise<Kept[]> {
    const kept: Kept[] = []
    for (let made = 0; made < count && this.#isPatient(known); made++) {
      const handshake = await this.#handshake(known, this.#plan.servername)
      if (handshake instanceof HandshakeError) this.#fail(known, handshake)
      const session = handshake instanceof HandshakeError ? undefined : handshake.sessions.at(-1)
      if (session) kept.push({ ...known, session, madeCount: this.#madeCount(known.endpoint) })
    }
    return kept
  }

  async #offer(
    { method, endpoint, session, madeCount }: Kept,
    kind: TrialKind,
    where: { readonly to?: Endpoint; readonly name?: string } = {},
  ): Promise<void> {
    const { to = endpoint, name } = where
    if (!this.#isPatient({ method, endpoint: to })) return
    const servername = name ?? this.#plan.servername
    const age = this.#madeCount(endpoint) - madeCount
    const handshake = await this.#handshake({ method, endpoint: to }, servername, session)
    this.#trials.push({
      method,
      kind,
      from: labelOf(endpoint),
      to: labelOf(to),
      ...(name !== undefined && { name }),
      age,
      ...(handshake instanceof HandshakeError
        ? { outcome: 'failed', error: handshake.code }
        : { outcome: handshake.resumed ? 'resumed' : 'full' }),
    })
  }

  async #handshake(
    known: Known,
    servername: string | undefined,
    session?: Uint8Array,
  ): Promise<Handshake | HandshakeError> {
    try {
      const handshake = await this.#shakeHands({ ...known, servername, session })
      // Under another name there may be others.
      if (servername === this.#plan.servername && known.method !== 'tls12-id')
        for (const made of handshake.sessions) this.#ticketKeys.note(keyOf(known), made)
      this.#madeCounts.set(
        labelOf(known.endpoint),
        this.#madeCount(known.endpoint) + handshake.sessions.length,
      )
      return handshake
    } catch (error) {
      if (!(error instanceof HandshakeError)) throw error
      if (error.code === 'ERR_TIMEOUT') this.#timeouts.set(keyOf(known), this.#timeoutCount(known) + 1)
      return error
    }
  }

  #shakeHands(wish: HandshakeWish): Promise<Handshake> {
    if (!this.#ports.hasTime()) throw new CutOffError()
    return this.#ports.shakeHands(wish, this.#plan.settings)
  }

  #isPatient(known: Known): boolean {
    return this.#timeoutCount(known) < MAX_TIMEOUTS
  }

  #timeoutCount(known: Known): number {
    return this.#timeouts.get(keyOf(known)) ?? 0
  }

  #madeCount(endpoint: Endpoint): number {
    return this.#madeCounts.get(labelOf(endpoint)) ?? 0
  }

  #fail({ method, endpoint }: Known, { code }: HandshakeError): void {
    this.#failures.push({ method, endpoint: labelOf(endpoint), error: code })
  }

  #step({ method, endpoint }: Known, what: string): void {
    this.#ports.onStep(`${labelOf(endpoint)} ${method}: ${what}`)
  }
}

function identityOf({ certificate, verifyError }: Handshake): Partial<EndpointFacts> {
  return { ...(certificate && { certificate }), ...(verifyError !== undefined && { verifyError }) }
}

function tokenOf(method: Method, session: Uint8Array | undefined): TokenFacts | undefined {
  if (session === undefined) return undefined
  const { sessionId, ticket, ticketLifetimeHintSec } = decodeSslSession(session)
  const bytes = method === 'tls12-id' ? sessionId.length : (ticket?.length ?? 0)
  if (bytes === 0) return undefined
  return { kind: tokenKind(method, bytes), bytes, lifetimeSec: Number(ticketLifetimeHintSec) }
}

function tokenKind(method: Method, bytes: number): TokenFacts['kind'] {
  if (method === 'tls12-id') return 'id'
  if (method === 'tls12-ticket') return 'ticket'
  return bytes === STATEFUL_TICKET_BYTES ? 'stateful-ticket' : 'stateless-ticket'
}

/** Whether the next method would but meet, or wait for, what has been met before. */
function isEnough(method: Method, [first]: readonly Failure[]): boolean {
  if (first === undefined) return false
  if (first.kind === 'silent') return method === 'tls12-ticket'
  return first.kind === 'unreachable' || first.kind === 'other-protocol' || first.kind === 'starttls-refused'
}

function keyOf({ method, endpoint }: Known): string {
  return `${method} ${labelOf(endpoint)}`
}

function pairs(endpoints: readonly Endpoint[]): [Endpoint, Endpoint][] {
  const areAll = endpoints.length <= MAX_ENDPOINTS_FOR_ALL_PAIRS
  return endpoints.flatMap((from, index) =>
    endpoints
      .filter((_, other) => other !== index && (areAll || Math.abs(other - index) === 1))
      .map((to): [Endpoint, Endpoint] => [from, to]),
  )
}

/** Servers that hand connections to their workers in turn would otherwise always, or never, meet their own session. */
function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items]
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    const [a, b] = [result[last], result[other]]
    if (a !== undefined && b !== undefined) {
      result[last] = b
      result[other] = a
    }
  }
  return result
}
