import type { TokenFacts } from './examination-facts.ts'
import { type Finding, methodName, type Rate, type Subject, seconds, shownTimes } from './findings.ts'
import type { Method } from './probe.ts'

/** From one endpoint to another. */
export interface Passage {
  readonly method: Method
  readonly protocol?: string | undefined
  readonly from: string
  readonly to: string
}

export function oneWay({ method, from, to, protocol }: Passage, rate: Rate, back: Rate): Finding {
  return {
    id: 'one-way-between-endpoints',
    severity: 'problem',
    method,
    endpoint: to,
    what: `${methodName(method, protocol)}: sessions made at ${from} resume at ${to} ${shownTimes(rate)}; the other way ${shownTimes(back)}.`,
    reasons: [
      'The clocks differ: what one server makes looks expired, or not yet made, to the other.',
      'One has the keys of the other as its old ones, and not the reverse: a renewal of keys is under way.',
    ],
    remedies: [
      'Compare the clocks (NTP), then the keys. Under sslctx, the reason "expired" of a session that is new points to the clock.',
    ],
  }
}

/** @param keys - whether tickets of both were seen to name the same key; undefined where they name none */
export function notSharedBetween(
  { method, from, to, protocol }: Passage,
  rate: Rate,
  token: TokenFacts | undefined,
  keys?: 'same' | 'other',
): Finding {
  return {
    id: 'not-shared-between-endpoints',
    severity: 'problem',
    method,
    endpoint: to,
    what: `${methodName(method, protocol)}: sessions made at ${from} resume at ${to} ${shownTimes(rate)}.`,
    reasons: keys === undefined ? elsewhereReasons(token) : KEY_REASONS[keys],
    remedies: keys === 'same' ? [SAME_KEYS_REMEDY] : elsewhereRemedies(token),
  }
}

const TRUST_DIFFERS =
  'Certificates, authorities or versions differ, to which sessions are bound (trust-changed, in sslctx), or the clocks do.'
const CONTEXTS_DIFFER =
  'The session id contexts differ; Node makes its own from process.argv, ServerSessions of sslctx from its name.'

const SAME_KEYS_REMEDY =
  'Give both the same session id context, certificates, authorities and versions, and compare the clocks.'

const KEY_REASONS = {
  same: [
    'The tickets of both name the same key, so that the ticket keys are the same, and the tickets are refused.',
    CONTEXTS_DIFFER,
    TRUST_DIFFERS,
  ],
  other: [
    'Their ticket keys differ: each made its own random ones, or one was restarted or renewed. The tickets of both name different keys.',
    'Under sslctx, the secrets differ, the names of ServerSessions, of which keys are made as well, or the periods.',
  ],
} as const

function isStateful(token: TokenFacts | undefined): boolean {
  return token?.kind === 'id' || token?.kind === 'stateful-ticket'
}

function elsewhereReasons(token: TokenFacts | undefined): string[] {
  return [
    isStateful(token)
      ? 'Each has a session cache of its own.'
      : 'Their ticket keys differ: each made its own random ones, or one was restarted or renewed.',
    CONTEXTS_DIFFER,
    TRUST_DIFFERS,
  ]
}

function elsewhereRemedies(token: TokenFacts | undefined): string[] {
  return [
    isStateful(token)
      ? 'Let both use one store and one session id context: in Node, ServerSessions of sslctx with the same name, secrets and store.'
      : 'Give both the same ticket keys and the same sessionIdContext; in Node, ServerSessions of sslctx with the same name and secrets does, without a store.',
  ]
}

export function boundToName(own: string, name: string): Finding {
  return {
    id: 'bound-to-name',
    severity: 'note',
    what: `Sessions of ${own} do not resume under ${name}, as it should be.`,
    reasons: [
      'The server binds sessions to their name, RFC 6066 §3. A client that offers one under a stale name does a full handshake.',
    ],
    remedies: [],
  }
}

export function nameNotChecked(what: string): Finding {
  return {
    id: 'name-not-checked',
    severity: 'note',
    what: `${what}, which has the same certificate.`,
    reasons: ['The server does not compare names when it resumes (RFC 6066 §3 wants it to).'],
    remedies: [
      'Nothing, as long as all names are served alike; with client certificates for some names only, see resumes-across-names.',
    ],
  }
}

export function acrossNames(what: string, certificate: 'other' | 'refused'): Finding {
  const otherwise =
    certificate === 'other' ? 'which has another certificate' : 'which full handshakes are refused'
  return {
    id: 'resumes-across-names',
    severity: 'warning',
    what: `${what}, ${otherwise}.`,
    reasons: [
      'The virtual hosts share a session cache or ticket keys, and the name is not compared: who was let in at one is in at the other, with the client certificate of the first (CVE-2025-23419).',
    ],
    remedies: [
      'Give each host its own session cache, ticket keys or session id context; sslctx binds sessions to name and policy.',
    ],
  }
}

export function lifetimeOver(subject: Subject, { lifetimeSec }: TokenFacts, waitSec: number): Finding {
  return {
    ...subject,
    id: 'lifetime-over',
    severity: 'note',
    what: `${methodName(subject.method, subject.protocol)}: sessions of ${subject.endpoint} are over after ${seconds(waitSec)}; the server has announced ${seconds(lifetimeSec)}.`,
    reasons: [
      'The lifetime is as set: sessionTimeout in Node and sslctx, ssl_session_timeout in nginx, tune.ssl.lifetime in HAProxy.',
    ],
    remedies: ['Lengthen it if clients come back later than that.'],
  }
}

export function lost(subject: Subject, { lifetimeSec }: TokenFacts, waitSec: number, rate: Rate): Finding {
  const announced = lifetimeSec > 0 ? `; the server has announced ${seconds(lifetimeSec)}` : ''
  return {
    ...subject,
    id: 'lost-while-waiting',
    severity: lifetimeSec > 0 ? 'problem' : 'warning',
    what: `${methodName(subject.method, subject.protocol)}: after ${seconds(waitSec)}, sessions of ${subject.endpoint} resume ${shownTimes(rate)}${announced}.`,
    reasons: [
      'The lifetime is short: sessionTimeout in Node and sslctx, ssl_session_timeout in nginx, tune.ssl.lifetime in HAProxy.',
      'The cache is too small for the sessions that are made meanwhile, or a store drops entries early.',
      'Ticket keys were changed, or the server was restarted.',
    ],
    remedies: [
      'Compare lifetime and cache size with the rate of full handshakes: entries = handshakes a second x lifetime.',
    ],
  }
}

export function ticketKeysChanged({ method, endpoint, protocol }: Subject, count: number): Finding {
  return {
    id: 'ticket-keys-changed',
    severity: 'note',
    method,
    endpoint,
    what: `${methodName(method, protocol)}: tickets of ${endpoint} name ${count} keys, and those of each resume.`,
    reasons: [
      'The keys were changed meanwhile, and those of before still open tickets, as it should be. In sslctx that is so at the end of each period.',
    ],
    remedies: [],
  }
}
