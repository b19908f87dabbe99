import type { ClientFacts } from './examination-facts.ts'
import type { Failure } from './failure.ts'
import type { Finding, FindingId } from './findings.ts'

type Said = Pick<Finding, 'what' | 'reasons' | 'remedies'> & { readonly id: FindingId }

/** @param isOneOfMany - whether other addresses of the same service do answer */
export function unreachableFinding(endpoint: string, code: string, isOneOfMany: boolean): Finding {
  const { reason, remedy } = UNREACHABLE.get(code) ?? NO_ANSWER
  return {
    id: 'endpoint-unreachable',
    severity: isOneOfMany ? 'warning' : 'problem',
    endpoint,
    what: `${endpoint} cannot be connected to (${code}).`,
    reasons: [reason],
    remedies: [
      remedy,
      ...(isOneOfMany
        ? ['Until then leave this address out with --address, which takes those to look at.']
        : []),
    ],
  }
}

interface Unreachable {
  readonly reason: string
  readonly remedy: string
}

const NO_ANSWER: Unreachable = {
  reason: 'The machine is down, or a firewall on the way drops what is sent there.',
  remedy: 'Look at whether the machine is up, and at the firewalls between.',
}
const NO_ROUTE: Unreachable = {
  reason: 'This machine has no way to such an address: mostly IPv6 without IPv6.',
  remedy: 'Run this from a machine that has one, or name other addresses with --address.',
}
const NO_ADDRESS: Unreachable = {
  reason: 'The name has no address: it is misspelt, or the resolver does not know it.',
  remedy: 'Check the name, and the resolver of this machine.',
}
const UNREACHABLE: ReadonlyMap<string, Unreachable> = new Map([
  ['ENOTFOUND', NO_ADDRESS],
  ['EAI_AGAIN', NO_ADDRESS],
  [
    'ECONNREFUSED',
    {
      reason: 'The machine is there, and nothing listens on that port, or a firewall says so.',
      remedy: 'Start the server, or check the port.',
    },
  ],
  ['EHOSTUNREACH', NO_ROUTE],
  ['ENETUNREACH', NO_ROUTE],
  ['EADDRNOTAVAIL', NO_ROUTE],
  [
    'ECONNRESET',
    {
      reason:
        'The connection is taken away as soon as it is made: something in between, or a server that is overloaded.',
      remedy: 'Look at the log of what stands before the server.',
    },
  ],
])

/** @returns undefined for an alert */
export function connectionFinding(failure: Failure, endpoint: string, client: ClientFacts): Said | undefined {
  switch (failure.kind) {
    case 'silent':
    case 'closed':
      return silent(failure, endpoint, client)
    case 'other-protocol':
      return otherProtocol(failure, endpoint)
    case 'starttls-refused':
      return startTlsRefused(failure, endpoint, client)
    case 'stalled':
    case 'broken':
    case 'refused-here':
      return broken(failure, endpoint)
    case 'unreachable':
    case 'alert':
      return undefined
  }
}

function silent({ kind, code }: Failure, endpoint: string, client: ClientFacts): Said {
  return {
    id: 'silent',
    what:
      kind === 'silent'
        ? `${endpoint} accepts the connection and says nothing${client.startTls === undefined ? '' : ` that begins TLS by ${client.startTls}`} (${code}).`
        : `${endpoint} accepts the connection and ends it without a word (${code}).`,
    reasons: [
      client.startTls === undefined
        ? 'This is no TLS server: it waits for another protocol, or does not know what to do with a ClientHello.'
        : `This is no server of ${client.startTls}, or one that begins with TLS: try it without --starttls.`,
      'Something in between lets the connection in and has nobody behind it: a load balancer without backends, a proxy.',
      'It hangs, or drops clients that are not allowed.',
    ],
    remedies: [
      client.startTls === undefined
        ? 'Check the port. Where TLS begins after some words in the clear, say --starttls.'
        : 'Check port and protocol; without --starttls for a port that begins with TLS.',
    ],
  }
}

function otherProtocol({ spoken, startTls, answer, code }: Failure, endpoint: string): Said {
  const said = answer === undefined || answer === '' ? code : `it says "${answer}"`
  return {
    id: 'no-tls',
    what: `${endpoint} speaks ${spoken ?? 'something else than TLS'} (${said}).`,
    reasons: [
      startTls === undefined
        ? 'This port is not the one of TLS, or TLS is not switched on there.'
        : 'TLS begins there after some words in the clear, or not at all.',
    ],
    remedies: [
      startTls === undefined
        ? 'Check the port.'
        : `Say --starttls ${startTls}, or give the port that begins with TLS.`,
    ],
  }
}

function startTlsRefused({ answer, spoken }: Failure, endpoint: string, { startTls }: ClientFacts): Said {
  const said = answer === undefined || answer === '' ? '' : `: it says "${answer}"`
  return {
    id: 'starttls-refused',
    what: `${endpoint} does not go over to TLS by ${startTls ?? 'STARTTLS'}${said}.`,
    reasons: [
      spoken === undefined
        ? 'TLS is not switched on, or this is another service.'
        : `TLS is not switched on, or this is another service: it sounds like ${spoken}.`,
    ],
    remedies: ['Check port and protocol; without --starttls for a port that begins with TLS.'],
  }
}

function broken({ kind, code }: Failure, endpoint: string): Said {
  const how = {
    stalled: 'begins a TLS handshake and does not end it in time',
    broken: 'begins a TLS handshake and ends the connection in the middle of it',
    'refused-here': 'sends a TLS handshake that this client does not accept',
  }
  return {
    id: 'handshake-broken',
    what: `${endpoint} ${how[kind as keyof typeof how]} (${code}).`,
    reasons: [
      kind === 'stalled'
        ? 'The server hangs or is overloaded: a callback that never answers, a key in a slow module; or packets are lost (MTU).'
        : 'The server is broken or has died, or something in between changes or cuts what it sends.',
    ],
    remedies: ['Look at its log for that moment; try again with a longer --timeout.'],
  }
}

export function unverifiedFinding(endpoint: string, code: string): Finding {
  return {
    id: 'certificate-not-verified',
    severity: 'note',
    endpoint,
    what: `The certificate of ${endpoint} does not verify (${code}); that changes nothing about what is said here.`,
    reasons: [],
    remedies: [
      code === 'CERT_HAS_EXPIRED'
        ? 'Renew it: clients that verify are refused.'
        : 'Give its authority with --ca, and its name with --servername.',
    ],
  }
}

/** @param hasResumed - whether anything has been seen in spite of that */
export function failuresFinding(endpoint: string, errors: readonly string[], hasResumed: boolean): Finding {
  return {
    id: 'handshakes-fail',
    severity: hasResumed ? 'warning' : 'problem',
    endpoint,
    what: `Some handshakes with ${endpoint} succeed and others fail: ${errors.length} failed (${[...new Set(errors)].join(', ')}).`,
    reasons: [
      'The server is overloaded, limits the rate of connections, or one of several behind it is broken.',
      ...(hasResumed ? [] : ['It has died, or has shut this client out after its first connections.']),
    ],
    remedies: ['Look at its log; try again with fewer --attempts.'],
  }
}

/**
 * @param hasSeen - whether any handshake had ended by then
 * @param isInterrupted - by whoever started it
 */
export function cutShortFinding(hasSeen: boolean, isInterrupted: boolean): Finding {
  const what = isInterrupted ? 'The run was interrupted before' : 'The time of the run was over before'
  return {
    id: 'cut-short',
    severity: hasSeen ? 'warning' : 'problem',
    what: hasSeen
      ? `${what} all had been asked; what is said here is from what was seen until then.`
      : `${what} a handshake had succeeded, so that nothing can be said.`,
    reasons: isInterrupted ? [] : ['The server is slow or hangs, or many attempts were asked for.'],
    remedies: isInterrupted
      ? []
      : ['Give more time with --max-time, a shorter --timeout, or fewer --attempts.'],
  }
}
