import {
  cutShortFinding,
  failuresFinding,
  unreachableFinding,
  unverifiedFinding,
} from './connection-findings.ts'
import type {
  ClientFacts,
  EndpointFacts,
  Examination,
  MethodFacts,
  TokenFacts,
  Trial,
  TrialKind,
} from './examination-facts.ts'
import { type Failure, provesTls } from './failure.ts'
import { type Finding, type FindingId, methodName, type Rate, type Severity, shown } from './findings.ts'
import { bothRefusedFinding, noHandshakeFinding, refusedVersionFinding } from './handshake-findings.ts'
import type { Method } from './probe.ts'
import {
  cacheTooSmall,
  lifetimeTooLong,
  neitherIdsNorTickets,
  neverResumes,
  noIds,
  noTickets,
  noTls13Tickets,
  notShared,
  offerBreaks,
  resumes,
  singleUse,
} from './resumption-findings.ts'
import {
  acrossNames,
  boundToName,
  lifetimeOver,
  lost,
  nameNotChecked,
  notSharedBetween,
  oneWay,
  ticketKeysChanged,
} from './sharing-findings.ts'

/** What an examination means. The worst comes first; the same examination always gives the same findings. */
export function diagnose(examination: Examination): Finding[] {
  const seen = [
    ...endpointFindings(examination),
    ...examination.methods.flatMap((facts) => methodFindings(facts, examination)),
    ...elsewhereFindings(examination),
    ...nameFindings(examination),
    ...waitFindings(examination),
  ]
  const findings = [
    ...seen,
    ...cutShortFindings(examination, seen),
    ...examination.endpoints.flatMap(({ endpoint, verifyError }) =>
      verifyError === undefined ? [] : unverifiedFinding(endpoint, verifyError),
    ),
  ]
  const order: readonly Severity[] = ['problem', 'warning', 'note', 'ok']
  return order.flatMap((severity) => findings.filter((finding) => finding.severity === severity))
}

/** Whether any endpoint speaks TLS, be it only to refuse. */
export function isTlsServer({ methods }: Examination): boolean {
  return methods.some(
    ({ support, failure }) => support !== 'failed' || (failure !== undefined && provesTls(failure)),
  )
}

function cutShortFindings(
  { isCutShort, isInterrupted, methods }: Examination,
  seen: readonly Finding[],
): Finding[] {
  const hasSeen = seen.length > 0 || methods.some(({ support }) => support !== 'failed')
  return isCutShort ? [cutShortFinding(hasSeen, isInterrupted === true)] : []
}

export function rateOf(trials: readonly Trial[]): Rate {
  const count = (outcome: Trial['outcome']): number =>
    trials.filter((trial) => trial.outcome === outcome).length
  return { resumed: count('resumed'), failed: count('failed'), offered: trials.length }
}

/** What `diagnose` would say of a single handshake that failed. */
export function findingOfFailure(failure: Failure, endpoint: string, client: ClientFacts): Finding {
  return failure.kind === 'unreachable'
    ? unreachableFinding(endpoint, failure.code, false)
    : noHandshakeFinding({ endpoint }, [failure], client)
}

function endpointFindings(examination: Examination): Finding[] {
  return examination.endpoints.flatMap((facts) => {
    const { endpoint, both } = facts
    const errors = strayErrors(examination, endpoint)
    return [
      ...nothingSucceeds(facts, examination),
      ...(both === undefined ? [] : [bothRefusedFinding(endpoint, both, examination.client)]),
      ...(errors.length > 0 ? [failuresFinding(endpoint, errors, hasResumedAt(examination, endpoint))] : []),
    ]
  })
}

function hasResumedAt({ trials }: Examination, endpoint: string): boolean {
  return trials.some(({ to, outcome }) => to === endpoint && outcome === 'resumed')
}

function nothingSucceeds(facts: EndpointFacts, examination: Examination): Finding[] {
  const { endpoint, unreachable } = facts
  if (unreachable !== undefined) return [unreachableFinding(endpoint, unreachable, isTlsServer(examination))]
  const methods = methodsAt(examination, endpoint)
  if (methods.length === 0 || methods.some(({ support }) => support !== 'failed')) return []
  const failures = methods.flatMap(({ failure }) => failure ?? [])
  // The version that was not asked for any more may be the one that the server speaks.
  if (facts.isCutOff && failures.every(isOfOneVersion)) return []
  return [noHandshakeFinding(facts, failures, examination.client)]
}

function isOfOneVersion({ kind }: Failure): boolean {
  return kind === 'alert' || kind === 'refused-here'
}

/** About full handshakes, and of offers where others have resumed: what makes all of them fail has its own finding. */
function strayErrors({ failures, trials }: Examination, endpoint: string): string[] {
  const here = trials.filter(({ to }) => to === endpoint)
  const offers = here.filter(
    (trial) =>
      rateOf(here.filter(({ method, kind }) => method === trial.method && kind === trial.kind)).resumed > 0,
  )
  return [
    ...failures.filter((failure) => failure.endpoint === endpoint).map(({ error }) => error),
    ...offers.flatMap(({ error }) => error ?? []),
  ]
}

function methodFindings(facts: MethodFacts, examination: Examination): Finding[] {
  if (facts.support === 'failed') return refusedFindings(facts, examination)
  if (facts.token === undefined) return nothingToResumeWith(facts, examination)
  return [...resumptionFindings(facts, facts.token, examination), ...lifetimeFindings(facts, facts.token)]
}

/** TLS 1.2 has two methods, and is refused but once. */
function refusedFindings(facts: MethodFacts, examination: Examination): Finding[] {
  const methods = methodsAt(examination, facts.endpoint)
  if (methods.every(({ support }) => support === 'failed')) return []
  const isSaid =
    facts.method === 'tls12-ticket' && factsOf(examination, 'tls12-id', facts.endpoint)?.support === 'failed'
  const both = examination.endpoints.find(({ endpoint }) => endpoint === facts.endpoint)?.both
  return isSaid ? [] : [refusedVersionFinding(facts, examination.client, both === undefined)]
}

function nothingToResumeWith({ method, endpoint }: MethodFacts, examination: Examination): Finding[] {
  if (method === 'tls13') return [noTls13Tickets(endpoint)]
  const other = method === 'tls12-id' ? 'tls12-ticket' : 'tls12-id'
  if (factsOf(examination, other, endpoint)?.token !== undefined)
    return [method === 'tls12-id' ? noIds(endpoint) : noTickets(endpoint)]
  // Said once, for both.
  return method === 'tls12-id' ? [neitherIdsNorTickets(endpoint)] : []
}

function resumptionFindings(
  { method, endpoint, protocol }: MethodFacts,
  token: TokenFacts,
  examination: Examination,
): Finding[] {
  const here = examination.trials.filter((trial) => trial.method === method && trial.from === endpoint)
  const rates = localRates(here)
  const verdict = judgeRates(rates)
  if (verdict === undefined) return []
  const subject = { method, endpoint, protocol }
  switch (verdict) {
    case 'resumes': {
      const { length } = token.keys ?? []
      return [resumes(subject, rates.all), ...(length > 1 ? [ticketKeysChanged(subject, length)] : [])]
    }
    case 'never-resumes':
      return [
        neverResumes(
          subject,
          token,
          rates.all,
          method === 'tls12-id' && doTicketsResume(examination, endpoint),
        ),
      ]
    case 'not-shared':
      return [notShared(subject, token, rates.all)]
    case 'single-use':
      return [singleUse(subject, rates.again)]
    case 'cache-too-small':
      return [cacheTooSmall(subject, rates.later)]
    case 'offer-breaks-handshake':
      return [offerBreaks(subject, rates.all, errorsOf(here))]
  }
}

function doTicketsResume(examination: Examination, endpoint: string): boolean {
  const { all } = localRates(
    examination.trials.filter(({ method, from }) => method === 'tls12-ticket' && from === endpoint),
  )
  return all.offered > 0 && isAll(all)
}

/** About what was offered where it was made, under its own name, without a wait. */
export interface LocalRates {
  readonly next: Rate
  readonly again: Rate
  readonly later: Rate
  readonly all: Rate
  /** Among those offered later, the ones that resumed are younger than the ones that did not. */
  readonly forgetsByAge: boolean
}

function localRates(trials: readonly Trial[]): LocalRates {
  const of = (...kinds: readonly TrialKind[]): Rate =>
    rateOf(trials.filter(({ kind }) => kinds.includes(kind)))
  return {
    next: of('next'),
    again: of('again'),
    later: of('later'),
    all: of('next', 'again', 'later'),
    forgetsByAge: forgetsByAge(trials.filter(({ kind }) => kind === 'later')),
  }
}

function forgetsByAge(trials: readonly Trial[]): boolean {
  const ages = (wanted: Trial['outcome']): number[] =>
    trials.filter(({ outcome }) => outcome === wanted).map(({ age }) => age)
  return Math.max(...ages('resumed')) < Math.min(...ages('full'))
}

export type LocalVerdict = Extract<
  FindingId,
  'resumes' | 'never-resumes' | 'not-shared' | 'single-use' | 'cache-too-small' | 'offer-breaks-handshake'
>

/**
 * Tells the patterns apart. Sessions offered `later` are fresh ones: what is used up by its first use still resumes then, what
 * a small cache has dropped does not.
 *
 * @returns undefined when nothing could be offered
 */
export function judgeRates(rates: LocalRates): LocalVerdict | undefined {
  const { all } = rates
  if (all.offered === 0) return undefined
  if (all.failed > 0 && all.resumed === 0) return 'offer-breaks-handshake'
  if (isAll(all)) return 'resumes'
  return all.resumed === 0 ? 'never-resumes' : judgePartial(rates)
}

function judgePartial({ next, again, later, forgetsByAge }: LocalRates): LocalVerdict {
  if (!isAll(next)) return 'not-shared'
  const isLostAtOnce = again.resumed === 0
  if (isLostAtOnce && isAll(later)) return 'single-use'
  return forgetsByAge && (isLostAtOnce || isAll(again)) ? 'cache-too-small' : 'not-shared'
}

/** A handshake that failed by chance says nothing about resumption. */
function isAll({ resumed, failed, offered }: Rate): boolean {
  return resumed > 0 && resumed + failed === offered
}

const MAX_TLS13_LIFETIME_SEC = 604_800

function lifetimeFindings({ method, endpoint }: MethodFacts, { lifetimeSec }: TokenFacts): Finding[] {
  if (method !== 'tls13' || lifetimeSec <= MAX_TLS13_LIFETIME_SEC) return []
  return [lifetimeTooLong({ method, endpoint }, lifetimeSec)]
}

function elsewhereFindings(examination: Examination): Finding[] {
  const trials = examination.trials.filter(({ kind }) => kind === 'elsewhere')
  const ways = new Map<string, Trial[]>()
  for (const trial of trials) {
    const way = `${trial.method} ${trial.from} ${trial.to}`
    ways.set(way, [...(ways.get(way) ?? []), trial])
  }
  return [...ways.values()].flatMap((way) => elsewhereFinding(way, ways, examination))
}

function elsewhereFinding(
  way: readonly Trial[],
  ways: ReadonlyMap<string, readonly Trial[]>,
  examination: Examination,
): Finding[] {
  const [trial] = way
  if (trial === undefined) return []
  const { method, from, to } = trial
  const rate = rateOf(way)
  // Where a session does not resume even at home, its own finding says why.
  if (isAll(rate) || !resumesAtHome(examination, method, from)) return []
  const back = rateOf(ways.get(`${method} ${to} ${from}`) ?? [])
  const isOneWay = back.offered > 0 && isAll(back) && rate.resumed === 0
  const token = factsOf(examination, method, from)?.token
  const passage = { method, from, to }
  const keys = commonKeys(token?.keys, factsOf(examination, method, to)?.token?.keys)
  return [isOneWay ? oneWay(passage, rate, back) : notSharedBetween(passage, rate, token, keys)]
}

function commonKeys(
  one: readonly string[] | undefined,
  other: readonly string[] | undefined,
): 'same' | 'other' | undefined {
  if (one === undefined || other === undefined) return undefined
  return one.some((key) => other.includes(key)) ? 'same' : 'other'
}

function resumesAtHome(examination: Examination, method: Method, endpoint: string): boolean {
  const { next } = localRates(
    examination.trials.filter((trial) => trial.method === method && trial.from === endpoint),
  )
  return next.offered > 0 && isAll(next)
}

function nameFindings(examination: Examination): Finding[] {
  return examination.otherNames.flatMap(({ name, certificate }) => {
    const trials = examination.trials.filter(
      (trial) =>
        trial.kind === 'other-name' &&
        trial.name === name &&
        // What never resumes says nothing about names.
        resumesAtHome(examination, trial.method, trial.from),
    )
    const resumed = trials.filter(({ outcome }) => outcome === 'resumed')
    if (trials.length === 0) return []
    const own = examination.servername ?? 'no name'
    if (resumed.length === 0) return [boundToName(own, name)]
    const methods = [...new Set(resumed.map(({ method }) => methodName(method)))].join(', ')
    const what = `Sessions of ${own} resume under ${name} (${methods}: ${shown(rateOf(trials))})`
    return [certificate === 'same' ? nameNotChecked(what) : acrossNames(what, certificate)]
  })
}

function waitFindings(examination: Examination): Finding[] {
  const { waitSec } = examination
  return examination.methods.flatMap(({ method, endpoint, token }) => {
    const trials = examination.trials.filter(
      (trial) => trial.kind === 'after-wait' && trial.method === method && trial.from === endpoint,
    )
    const rate = rateOf(trials)
    if (
      token === undefined ||
      rate.offered === 0 ||
      isAll(rate) ||
      !resumesAtHome(examination, method, endpoint)
    )
      return []
    const isOver = token.lifetimeSec > 0 && waitSec > token.lifetimeSec
    return [
      isOver
        ? lifetimeOver({ method, endpoint }, token, waitSec)
        : lost({ method, endpoint }, token, waitSec, rate),
    ]
  })
}

function methodsAt({ methods }: Examination, endpoint: string): MethodFacts[] {
  return methods.filter((facts) => facts.endpoint === endpoint)
}

function factsOf({ methods }: Examination, method: Method, endpoint: string): MethodFacts | undefined {
  return methods.find((facts) => facts.method === method && facts.endpoint === endpoint)
}

function errorsOf(seen: readonly { readonly error?: string }[]): string {
  return [...new Set(seen.flatMap(({ error }) => error ?? []))].join(', ')
}
