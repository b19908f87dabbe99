import type { TokenFacts } from './examination-facts.ts'
import { type Finding, methodName, type Rate, type Subject, shown } from './findings.ts'

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
      'Switch tickets on, with keys that all servers share. In Node, ServerSessions of sslctx does both, from one secret and without a store.',
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
    reasons: [
      'Session cache and tickets are both switched off.',
      'The server is made so: PostgreSQL and some servers of chat and mail resume nothing.',
    ],
    remedies: [
      'Switch on one of them: a session cache that all processes share, or tickets with keys that they share.',
    ],
  }
}

export function resumes({ method, endpoint, protocol }: Subject, rate: Rate): Finding {
  const what = `${methodName(method, protocol)} resumes at ${endpoint}: ${shown(rate)}.`
  return { id: 'resumes', severity: 'ok', method, endpoint, what, reasons: [], remedies: [] }
}

const SERVED_BY_TICKETS =
  'Clients that know tickets, as nearly all do, resume by those; others always do full handshakes.'
const NOTHING_TO_DO =
  'Nothing, if your clients know tickets, as browsers, curl, OpenSSL, Go, Java and Node do; else, a session cache: ServerSessions of sslctx in Node, with a store for several processes, ssl_session_cache shared:… in nginx.'

/** @param doTicketsResume - whether clients of the same version do so by ticket instead */
export function neverResumes(
  { method, endpoint, protocol }: Subject,
  token: TokenFacts,
  rate: Rate,
  doTicketsResume: boolean,
): Finding {
  const { reasons, remedies } = NEVER[token.kind]
  return {
    id: 'never-resumes',
    severity: doTicketsResume ? 'note' : 'problem',
    method,
    endpoint,
    what: `${methodName(method, protocol)} never resumes at ${endpoint}: ${shown(rate)}, though the server gives ${described(token)}.${doTicketsResume ? ` ${SERVED_BY_TICKETS}` : ''}`,
    reasons: doTicketsResume ? reasons.slice(0, 1) : reasons,
    remedies: doTicketsResume ? [NOTHING_TO_DO] : remedies,
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
      'Give the server a session cache that all processes share: ssl_session_cache shared:… in nginx, a store given to ServerSessions of sslctx in Node.',
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
      'In Node, use ServerSessions of sslctx, which reads the ClientHello ahead; or leave tickets on and share ticketKeys.',
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
      'In Node, ServerSessions of sslctx with one secret in all processes needs no store: its keys change each hour, and it judges each ticket.',
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
    what: `${methodName(subject.method, subject.protocol)} resumes at ${subject.endpoint} only sometimes: ${shown(rate)}.${guess}`,
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
          'Share one cache: ssl_session_cache shared:… within nginx, a store such as Redis, given to ServerSessions of sslctx, between processes and pods. In TLS 1.3 the same `secrets` in all processes do without a store.',
        ]
      : [
          'Give all of them the same ticket keys and change them everywhere at once, the old ones still being accepted. In Node, ServerSessions of sslctx with one secret does so by itself.',
        ],
  }
}

export function singleUse(subject: Subject, rate: Rate): Finding {
  return {
    ...subject,
    id: 'single-use',
    severity: 'warning',
    what: `${methodName(subject.method, subject.protocol)} resumes each session once at ${subject.endpoint}; offered again: ${shown(rate)}.`,
    reasons: [
      'Sessions are used up by their first use: singleUse in sslctx, anti-replay (max_early_data) in OpenSSL.',
    ],
    remedies: [
      'Nothing, if that is meant. Clients that keep one session for parallel connections, such as https.Agent of Node, resume one of them; ClientSessions of sslctx keeps several.',
    ],
  }
}

export function cacheTooSmall(subject: Subject, rate: Rate): Finding {
  return {
    ...subject,
    id: 'cache-too-small',
    severity: 'problem',
    what: `${methodName(subject.method, subject.protocol)} resumes at ${subject.endpoint} at once, and no more when other sessions have been made: ${shown(rate)}.`,
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
    what: `${methodName(subject.method, subject.protocol)}: ${rate.failed} of ${rate.offered} handshakes at ${subject.endpoint} failed when a session was offered (${errors}); without one they succeed.`,
    ...offerBreaksAdvice(errors),
  }
}

function offerBreaksAdvice(errors: string): Advice {
  if (/BINDER|DECRYPT_ERROR|ILLEGAL_PARAMETER/.test(errors))
    return {
      reasons: [
        'The server hands its library another session than the one that was offered, as a resumeSession listener does that keeps sessions of TLS 1.3 by the legacy session id.',
      ],
      remedies: ['Look sessions up by the identity in the ClientHello, as attachServer of sslctx does.'],
    }
  if (/TIMEOUT/.test(errors))
    return {
      reasons: [
        'The lookup of the session never ends: a resumeSession listener of Node that does not call back, or an external cache that hangs.',
      ],
      remedies: [
        'Give the lookup a deadline and call back once, whatever happens: lookupTimeoutMs of attachServer, guarded() around a store of sslctx.',
      ],
    }
  return {
    reasons: [
      'Client certificates are requested, and no session id context is set: libssl then refuses every session with an alert, SSL_CTX_set_session_id_context(3).',
      'Two resumeSession listeners of Node answer the same connection.',
    ],
    remedies: [
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
    what: `Tickets of ${endpoint} announce ${lifetimeSec} seconds; more than 604800 (7 days) is not allowed, RFC 9846 §4.7.1 (RFC 8446 §4.6.1).`,
    reasons: ['The session timeout of the server is longer than that.'],
    remedies: ['Shorten it: clients may refuse such a ticket.'],
  }
}
