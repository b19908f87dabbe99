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
  /** Tickets name several keys, and those of all of them resume. */
  | 'ticket-keys-changed'
  /** Was good before the wait, and the announced lifetime was longer. */
  | 'lost-while-waiting'
  /** Was good before the wait, which was longer than the announced lifetime. */
  | 'lifetime-over'
  /** More than 7 days, RFC 9846 §4.7.1 (RFC 8446 §4.6.1). */
  | 'lifetime-too-long'
  /** TLS 1.3 without tickets, or TLS 1.2 with neither tickets nor ids. */
  | 'nothing-to-resume-with'
  /** TLS 1.2 with one of the two only. */
  | 'no-session-ids'
  | 'no-tickets'
  /** The server does not speak this version, or has no cipher suite for it that Node offers. */
  | 'version-refused'
  /** One version succeeds when it is offered alone; a client that offers both is refused. */
  | 'both-versions-refused'
  /** The server lets nobody in without a client certificate. */
  | 'client-certificate-required'
  /** The server does not accept the client certificate that was shown. */
  | 'client-certificate-refused'
  /** Nothing newer than TLS 1.1, which Node refuses by default. */
  | 'old-versions-only'
  /** The server and what Node is by default have no version, cipher suite or key size in common; with --insecure they do. */
  | 'node-defaults'
  /** No version, or no cipher suite, that this client knows at all. */
  | 'nothing-in-common'
  /** The server knows no such name, or wants one. */
  | 'name-refused'
  /** The server speaks none of the protocols of ALPN that were offered. */
  | 'protocol-refused'
  /** Any other alert of the server. */
  | 'handshake-refused'
  /** The server begins TLS, and ends, stops or errs in the middle of it. */
  | 'handshake-broken'
  /** The session resumes under another name, for which the server has another certificate, or none. */
  | 'resumes-across-names'
  /** The session resumes under another name with the same certificate. */
  | 'name-not-checked'
  | 'bound-to-name'
  | 'endpoint-unreachable'
  /** The connection is accepted, and nothing comes. */
  | 'silent'
  /** Something else than TLS is spoken. */
  | 'no-tls'
  /** The service does not go over to TLS. */
  | 'starttls-refused'
  | 'certificate-not-verified'
  /** Handshakes succeed at one time and fail at another. */
  | 'handshakes-fail'
  /** The run was over before all had been asked. */
  | 'cut-short'

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
  /** What was negotiated, as Node names it; before TLS 1.2 with `--insecure` only. */
  readonly protocol?: string | undefined
}

const METHOD_NAMES: Readonly<Record<Method, string>> = {
  'tls12-id': 'TLS 1.2 by session id',
  'tls12-ticket': 'TLS 1.2 by ticket',
  tls13: 'TLS 1.3',
}

export function methodName(method: Method, protocol?: string): string {
  const version = protocol === undefined || method === 'tls13' ? 'TLS 1.2' : versionName(protocol)
  return METHOD_NAMES[method].replace('TLS 1.2', version)
}

/** `TLSv1.1` is TLS 1.1, and `TLSv1` is TLS 1.0. */
export function versionName(protocol: string): string {
  return protocol === 'TLSv1' ? 'TLS 1.0' : protocol.replace(/^TLSv/, 'TLS ')
}

/** `1 second`, `2.5 seconds`. */
export function seconds(count: number): string {
  return `${count} second${count === 1 ? '' : 's'}`
}

/** As the verb of a sentence has it: how often. */
export function shownTimes({ resumed, failed, offered }: Rate): string {
  const times = `${resumed} of ${offered} times`
  return failed > 0 ? `${times}, and ${failed} failed` : times
}

export function shown({ resumed, failed, offered }: Rate): string {
  return failed > 0 ? `${resumed} of ${offered}, ${failed} failed` : `${resumed} of ${offered}`
}
