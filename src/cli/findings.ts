import type { TokenFacts } from './examination.ts'
import type { Method } from './probe.ts'

/** What `sslctx doctor` may find, a closed union. */
export type FindingId =
  /** Every session that was offered resumed. */
  | 'resumes'
  /** No session that was offered resumed. */
  | 'never-resumes'
  /** Some resumed, some did not, and nothing else explains it: what one process knows another does not. */
  | 'not-shared'
  /** A session resumes once, and not again. */
  | 'single-use'
  /** A session resumes at once, and no more when others have been made. */
  | 'cache-too-small'
  /** The handshake fails when a session is offered; without one it succeeds. */
  | 'offer-breaks-handshake'
  /** Resumes where it was made, and not at another endpoint. */
  | 'not-shared-between-endpoints'
  /** One way only: between two clocks that differ, or two sets of keys. */
  | 'one-way-between-endpoints'
  /** Was good before the wait, and the announced lifetime was longer. */
  | 'lost-while-waiting'
  /** Was good before the wait, which was longer than the announced lifetime. */
  | 'lifetime-over'
  /** More than 7 days, RFC 8446 §4.6.1. */
  | 'lifetime-too-long'
  /** TLS 1.3 without tickets, or TLS 1.2 with neither tickets nor ids. */
  | 'nothing-to-resume-with'
  /** TLS 1.2 with one of the two only. */
  | 'no-session-ids'
  | 'no-tickets'
  /** The server does not speak this version. */
  | 'version-refused'
  /** The session resumes under another name, for which the server has another certificate, or none. */
  | 'resumes-across-names'
  /** The session resumes under another name with the same certificate. */
  | 'name-not-checked'
  | 'bound-to-name'
  | 'endpoint-unreachable'
  | 'no-tls'
  | 'certificate-not-verified'
  /** Handshakes succeed at one time and fail at another. */
  | 'handshakes-fail'

export type Severity = 'problem' | 'warning' | 'note' | 'ok'

export interface Finding {
  readonly id: FindingId
  readonly severity: Severity
  readonly method?: Method
  readonly endpoint?: string
  /** What was seen. */
  readonly what: string
  /** The likely reasons, most likely first. */
  readonly reasons: readonly string[]
  /** What to do. */
  readonly remedies: readonly string[]
}

/** How often sessions resumed of how often they were offered. */
export interface Rate {
  readonly resumed: number
  readonly failed: number
  readonly offered: number
}

export interface Subject {
  readonly method: Method
  readonly endpoint: string
}

const METHOD_NAMES: Readonly<Record<Method, string>> = {
  'tls12-id': 'TLS 1.2 by session id',
  'tls12-ticket': 'TLS 1.2 by ticket',
  tls13: 'TLS 1.3',
}

export function methodName(method: Method): string {
  return METHOD_NAMES[method]
}

export function shown({ resumed, failed, offered }: Rate): string {
  return failed > 0 ? `${resumed} of ${offered}, ${failed} failed` : `${resumed} of ${offered}`
}

export function unreachableFinding(endpoint: string, code: string): Finding {
  return {
    id: 'endpoint-unreachable',
    severity: 'warning',
    endpoint,
    what: `${endpoint} does not answer (${code}).`,
    reasons: [
      'The server is down there, a firewall is between, or this machine has no route to such an address.',
    ],
    remedies: ['Take the address out of DNS, or name the addresses to look at with --address.'],
  }
}

export function noTlsFinding(endpoint: string, codes: string): Finding {
  return {
    id: 'no-tls',
    severity: 'problem',
    endpoint,
    what: `${endpoint} answers, and no TLS handshake succeeds (${codes}).`,
    reasons: handshakeErrorReasons(codes),
    remedies: [
      'Check the port; say which name to ask for with --servername; give a client certificate with --cert and --key.',
    ],
  }
}

function handshakeErrorReasons(codes: string): string[] {
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE/.test(codes))
    return ['The server wants a certificate of its clients.', 'It knows no common cipher suite.']
  if (/UNRECOGNIZED_NAME/.test(codes)) return ['The server knows no such name.']
  return ['This is no TLS server, or one that begins in the clear (STARTTLS).']
}

export function unverifiedFinding(endpoint: string, code: string): Finding {
  return {
    id: 'certificate-not-verified',
    severity: 'note',
    endpoint,
    what: `The certificate of ${endpoint} does not verify (${code}); that changes nothing about what is said here.`,
    reasons: [],
    remedies: ['Give its authority with --ca, and its name with --servername.'],
  }
}

export function failuresFinding(endpoint: string, errors: readonly string[]): Finding {
  return {
    id: 'handshakes-fail',
    severity: 'warning',
    endpoint,
    what: `Now and then a handshake with ${endpoint} fails: ${errors.length} times (${[...new Set(errors)].join(', ')}).`,
    reasons: [
      'The server is overloaded, limits the rate of connections, or one of several behind it is broken.',
    ],
    remedies: ['Look at its log; try again with fewer --attempts.'],
  }
}

export function versionRefused({ method, endpoint }: Subject, error: string): Finding {
  const version = method === 'tls13' ? 'TLS 1.3' : 'TLS 1.2'
  const needsCertificate = /CERTIFICATE_REQUIRED|BAD_CERTIFICATE/.test(error)
  return {
    id: 'version-refused',
    severity: needsCertificate ? 'problem' : 'note',
    method,
    endpoint,
    what: `${version} is refused at ${endpoint} (${error}).`,
    reasons: needsCertificate
      ? ['The server wants a certificate of its clients.']
      : [`The server is set up without ${version}, or without a cipher suite that this client knows.`],
    remedies: needsCertificate
      ? ['Give one with --cert and --key.']
      : [`Nothing, if no client needs ${version}.`],
  }
}

export function noTls13Tickets(endpoint: string): Finding {
  return {
    id: 'nothing-to-resume-with',
    severity: 'problem',
    method: 'tls13',
    endpoint,
    what: `${endpoint} sends no ticket in TLS 1.3, so no client can resume.`,
    reasons: [
      'Tickets are switched off: ssl_session_tickets off in nginx, SessionTicketsDisabled in Go, num_tickets 0 in OpenSSL.',
      'It sends them with its first answer only, as servers of BoringSSL do.',
    ],
    remedies: [
      'Switch tickets on, with keys that all servers share; in Node without tickets, attachServer of sslctx makes stateful ones work.',
      'If it speaks HTTP, ask again with --http.',
    ],
  }
}

export function noIds(endpoint: string): Finding {
  return {
    id: 'no-session-ids',
    severity: 'note',
    method: 'tls12-id',
    endpoint,
    what: `${endpoint} gives no session ids in TLS 1.2, so clients that know no tickets never resume.`,
    reasons: ['There is no session cache: ssl_session_cache off in nginx, every server in Go.'],
    remedies: ['Nothing, if all clients know tickets, as browsers do.'],
  }
}

export function noTickets(endpoint: string): Finding {
  return {
    id: 'no-tickets',
    severity: 'note',
    method: 'tls12-ticket',
    endpoint,
    what: `${endpoint} gives no tickets in TLS 1.2; clients resume by session id, if at all.`,
    reasons: ['Tickets are switched off: SSL_OP_NO_TICKET, ssl_session_tickets off, no-tls-tickets.'],
    remedies: ['Nothing: ids serve all clients, as long as they resume.'],
  }
}

export function neitherIdsNorTickets(endpoint: string): Finding {
  return {
    id: 'nothing-to-resume-with',
    severity: 'problem',
    method: 'tls12-id',
    endpoint,
    what: `${endpoint} gives neither session ids nor tickets in TLS 1.2, so no client can resume.`,
    reasons: ['Session cache and tickets are both switched off.'],
    remedies: [
      'Switch on one of them: a session cache that all processes share, or tickets with keys that they share.',
    ],
  }
}

export function resumes({ method, endpoint }: Subject, rate: Rate): Finding {
  const what = `${methodName(method)} resumes at ${endpoint}: ${shown(rate)}.`
  return { id: 'resumes', severity: 'ok', method, endpoint, what, reasons: [], remedies: [] }
}

const SERVED_BY_TICKETS =
  'Clients that know tickets, as nearly all do, are served by those; others always do full handshakes.'

/** @param hasTickets - whether clients of the same version may use tickets instead */
export function neverResumes(
  { method, endpoint }: Subject,
  token: TokenFacts,
  rate: Rate,
  hasTickets: boolean,
): Finding {
  const { reasons, remedies } = NEVER[token.kind]
  return {
    id: 'never-resumes',
    severity: hasTickets ? 'warning' : 'problem',
    method,
    endpoint,
    what: `${methodName(method)} never resumes at ${endpoint}: ${shown(rate)}, though the server gives ${described(token)}.${hasTickets ? ` ${SERVED_BY_TICKETS}` : ''}`,
    reasons,
    remedies,
  }
}

function described({ kind, bytes }: TokenFacts): string {
  switch (kind) {
    case 'id':
      return `session ids of ${bytes} bytes`
    case 'ticket':
    case 'stateless-ticket':
      return `tickets of ${bytes} bytes`
    case 'stateful-ticket':
      return `tickets of ${bytes} bytes, which are session ids of a cache (stateful)`
  }
}

type Advice = Pick<Finding, 'reasons' | 'remedies'>

const NEVER: Readonly<Record<TokenFacts['kind'], Advice>> = {
  id: {
    reasons: [
      'Nothing is kept: ssl_session_cache none (the default of nginx), Node without newSession and resumeSession listeners.',
      'The external cache is down, too slow, or its entries cannot be read.',
      'Every connection meets another process, and each has a cache of its own.',
    ],
    remedies: [
      'Give the server a session cache that all processes share: ssl_session_cache shared:… in nginx, a shared store with attachServer of sslctx in Node.',
      'If it has one, look at whether it answers: under sslctx, onHandshake says why each handshake was full.',
    ],
  },
  ticket: ticketAdvice(),
  'stateless-ticket': ticketAdvice(),
  'stateful-ticket': {
    reasons: [
      'The server does not find them: Node with SSL_OP_NO_TICKET alone never does in TLS 1.3, whatever its resumeSession listener answers (no read-ahead of the ClientHello).',
      'The session cache is off, or the external cache is down, too slow, or cannot be read.',
      'Every connection meets another process, and each has a cache of its own.',
    ],
    remedies: [
      'In Node, use attachServer of sslctx, which reads the ClientHello ahead; or leave tickets on and share ticketKeys.',
      'Let all processes share one cache, and look at whether it answers: under sslctx, onHandshake says why each handshake was full.',
    ],
  },
}

function ticketAdvice(): Advice {
  return {
    reasons: [
      'Every connection meets another process, and each made its own random ticket keys.',
      'The ticket can be opened and is refused: client certificates are requested and the session id context differs (Node makes it from process.argv), or the clock is off.',
      'The ticket keys are changed all the time.',
    ],
    remedies: [
      'Give all processes the same ticket keys (ssl_session_ticket_key in nginx, tls-ticket-keys in HAProxy, ticketKeys in Node) and the same sessionIdContext.',
    ],
  }
}

export function notShared(subject: Subject, token: TokenFacts, rate: Rate): Finding {
  const workers = Math.round(rate.offered / rate.resumed)
  const guess = workers > 1 ? ` That is what about ${workers} processes that share nothing would do.` : ''
  const isId = token.kind === 'id' || token.kind === 'stateful-ticket'
  return {
    ...subject,
    id: 'not-shared',
    severity: 'problem',
    what: `${methodName(subject.method)} resumes at ${subject.endpoint} only sometimes: ${shown(rate)}.${guess}`,
    reasons: isId
      ? [
          'Several workers or pods are behind this address, and each has a session cache of its own.',
          'A shared cache fails, or is too slow, part of the time.',
        ]
      : [
          'Several workers or pods are behind this address, and their ticket keys differ: each made its own, or some have been renewed.',
          'They have the same keys, and their session id contexts or clocks differ.',
        ],
    remedies: isId
      ? [
          'Share one cache: ssl_session_cache shared:… within nginx, a store such as Redis with sslctx between processes and pods.',
        ]
      : [
          'Give all of them the same ticket keys and change them everywhere at once, the old ones still being accepted.',
        ],
  }
}

export function singleUse(subject: Subject, rate: Rate): Finding {
  return {
    ...subject,
    id: 'single-use',
    severity: 'warning',
    what: `${methodName(subject.method)} resumes each session once at ${subject.endpoint}; offered again: ${shown(rate)}.`,
    reasons: [
      'Sessions are used up by their first use: singleUse in sslctx, anti-replay (max_early_data) in OpenSSL.',
    ],
    remedies: [
      'Nothing, if that is meant. Clients that keep one session for parallel connections, such as https.Agent of Node, resume one of them.',
    ],
  }
}

export function cacheTooSmall(subject: Subject, rate: Rate): Finding {
  return {
    ...subject,
    id: 'cache-too-small',
    severity: 'problem',
    what: `${methodName(subject.method)} resumes at ${subject.endpoint} at once, and no more when other sessions have been made: ${shown(rate)}.`,
    reasons: ['The session cache is too small: new sessions drive out those that are still good.'],
    remedies: [
      'Make it larger: sessionCacheSize or the store of sslctx, ssl_session_cache shared:…:10m in nginx, tune.ssl.cachesize in HAProxy. It needs as many entries as are made within the lifetime.',
    ],
  }
}

export function offerBreaks(subject: Subject, rate: Rate, errors: string): Finding {
  return {
    ...subject,
    id: 'offer-breaks-handshake',
    severity: 'problem',
    what: `${methodName(subject.method)}: ${rate.failed} of ${rate.offered} handshakes at ${subject.endpoint} failed when a session was offered (${errors}); without one they succeed.`,
    reasons: /BINDER|DECRYPT_ERROR|ILLEGAL_PARAMETER/.test(errors)
      ? [
          'The server hands its library another session than the one that was offered, as a resumeSession listener does that keeps sessions of TLS 1.3 by the legacy session id.',
        ]
      : [
          'Client certificates are requested, and no session id context is set: libssl then refuses every session with an alert, SSL_CTX_set_session_id_context(3).',
          'Two resumeSession listeners of Node answer the same connection.',
        ],
    remedies: /BINDER|DECRYPT_ERROR|ILLEGAL_PARAMETER/.test(errors)
      ? ['Look sessions up by the identity in the ClientHello, as attachServer of sslctx does.']
      : [
          'Set a session id context, the same in all processes: sessionIdContext in Node, which tls.createServer sets and tls.createSecureContext alone does not.',
        ],
  }
}

export function lifetimeTooLong({ method, endpoint }: Subject, lifetimeSec: number): Finding {
  return {
    id: 'lifetime-too-long',
    severity: 'warning',
    method,
    endpoint,
    what: `Tickets of ${endpoint} announce ${lifetimeSec} seconds; more than 604800 (7 days) is not allowed, RFC 8446 §4.6.1.`,
    reasons: ['The session timeout of the server is longer than that.'],
    remedies: ['Shorten it: clients may refuse such a ticket.'],
  }
}

/** From one endpoint to another. */
export interface Passage {
  readonly method: Method
  readonly from: string
  readonly to: string
}

export function oneWay({ method, from, to }: Passage, rate: Rate, back: Rate): Finding {
  return {
    id: 'one-way-between-endpoints',
    severity: 'problem',
    method,
    endpoint: to,
    what: `${methodName(method)}: sessions made at ${from} resume at ${to} ${shown(rate)} times, the other way ${shown(back)}.`,
    reasons: [
      'The clocks differ: what one server makes looks expired, or not yet made, to the other.',
      'One has the keys of the other as its old ones, and not the reverse: a renewal of keys is under way.',
    ],
    remedies: [
      'Compare the clocks (NTP), then the keys. Under sslctx, the reason "expired" of a session that is new points to the clock.',
    ],
  }
}

export function notSharedBetween(
  { method, from, to }: Passage,
  rate: Rate,
  token: TokenFacts | undefined,
): Finding {
  return {
    id: 'not-shared-between-endpoints',
    severity: 'problem',
    method,
    endpoint: to,
    what: `${methodName(method)}: sessions made at ${from} resume at ${to} ${shown(rate)} times.`,
    reasons: elsewhereReasons(token),
    remedies: elsewhereRemedies(token),
  }
}

function isStateful(token: TokenFacts | undefined): boolean {
  return token?.kind === 'id' || token?.kind === 'stateful-ticket'
}

function elsewhereReasons(token: TokenFacts | undefined): string[] {
  return [
    isStateful(token)
      ? 'Each has a session cache of its own.'
      : 'Their ticket keys differ: each made its own random ones, or one was restarted or renewed.',
    'The session id contexts differ; Node makes its own from process.argv, sslctx takes sessionIdContext.',
    'Certificates, authorities or versions differ, to which sessions are bound (trust-changed, in sslctx), or the clocks do.',
  ]
}

function elsewhereRemedies(token: TokenFacts | undefined): string[] {
  return [
    isStateful(token)
      ? 'Let both use one store, such as Redis with sslctx, and the same sessionIdContext.'
      : 'Give both the same ticket keys and the same sessionIdContext; or use session ids and one store.',
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
    what: `${methodName(subject.method)}: sessions of ${subject.endpoint} are over after ${waitSec} seconds; ${lifetimeSec} were announced.`,
    reasons: [
      'The lifetime is as set: sessionTimeout in Node and sslctx, ssl_session_timeout in nginx, tune.ssl.lifetime in HAProxy.',
    ],
    remedies: ['Lengthen it if clients come back later than that.'],
  }
}

export function lost(subject: Subject, { lifetimeSec }: TokenFacts, waitSec: number, rate: Rate): Finding {
  const announced = lifetimeSec > 0 ? `; ${lifetimeSec} were announced` : ''
  return {
    ...subject,
    id: 'lost-while-waiting',
    severity: lifetimeSec > 0 ? 'problem' : 'warning',
    what: `${methodName(subject.method)}: after ${waitSec} seconds, sessions of ${subject.endpoint} resume ${shown(rate)} times${announced}.`,
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
