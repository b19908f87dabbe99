import { alertName, alertOf, isAboutCertificates } from './alerts.ts'
import { spokenProtocol, type WireWitness } from './wire.ts'

/** How far a handshake came that failed. */
export type FailureKind =
  /** There is no connection. */
  | 'unreachable'
  /** The connection is accepted, and nothing comes. */
  | 'silent'
  /** The connection is ended before a byte has come. */
  | 'closed'
  /** What comes is not TLS. */
  | 'other-protocol'
  /** The service speaks its protocol, and does not go over to TLS. */
  | 'starttls-refused'
  | 'alert'
  /** TLS begins, and does not go on. */
  | 'stalled'
  /** TLS begins, and the connection ends. */
  | 'broken'
  /** TLS begins, and this client refuses what the server sends. */
  | 'refused-here'

export interface Failure {
  readonly kind: FailureKind
  /** What Node calls it. */
  readonly code: string
  /** By its name in RFC 9846 §6. */
  readonly alert?: string
  /** The alert came after the handshake, as TLS 1.3 refuses a client certificate. */
  readonly isAfterHandshake?: true
  /** The server asked for a certificate, or its alert is about one. */
  readonly wantsCertificate?: true
  /** What ServerHello chose, such as 0x0302. */
  readonly version?: number
  /** What is spoken in place of TLS. */
  readonly spoken?: string
  /** What `--starttls` calls that. */
  readonly startTls?: string
  /** How what came in place of TLS begins. From the network. */
  readonly answer?: string
}

/** A handshake that failed; `code` is `ECONNREFUSED`, `ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION`, `ERR_TIMEOUT` and the like. */
export class HandshakeError extends Error {
  readonly code: string
  readonly failure: Failure

  constructor(code: string, message: string, options: ErrorOptions & { readonly failure?: Failure } = {}) {
    super(message, options)
    this.code = code
    this.failure = options.failure ?? failureOfError(code, message)
  }
}

/** There was no more time for it: what the handshake would have come to, nobody knows. */
export class CutOffError extends Error {
  constructor() {
    super('cut off')
  }
}

/** Nobody but a server of TLS sends records of TLS. */
export function provesTls({ kind }: Failure): boolean {
  return kind === 'alert' || kind === 'stalled' || kind === 'broken' || kind === 'refused-here'
}

/** What this client refuses by itself. */
const REFUSED_HERE = /^ERR_(SSL|OSSL|TLS)_/

/** @param isConnected - whether the connection was there */
export function failureOf(
  { code, message }: { readonly code: string; readonly message: string },
  wire: WireWitness,
  isConnected: boolean,
): Failure {
  if (!isConnected) return { kind: 'unreachable', code }
  if (wire.isEcho)
    return { kind: 'other-protocol', code, spoken: 'no protocol, but sends back what it is sent' }
  const alert = wire.alert ?? alertOf(code, message)
  if (!wire.hasTls && wire.byteCount > 0) return { kind: 'other-protocol', code, ...otherProtocol(wire.head) }
  const facts = {
    code,
    ...(wire.version !== undefined && { version: wire.version }),
    ...((wire.wantsCertificate || (alert !== undefined && isAboutCertificates(alert))) && {
      wantsCertificate: true as const,
    }),
  }
  if (alert !== undefined) return { kind: 'alert', ...facts, alert: alertName(alert) }
  return { kind: kindWithoutAlert(code, wire.hasTls), ...facts }
}

function kindWithoutAlert(code: string, hasTls: boolean): FailureKind {
  if (code === 'ERR_TIMEOUT') return hasTls ? 'stalled' : 'silent'
  if (!hasTls) return 'closed'
  return REFUSED_HERE.test(code) ? 'refused-here' : 'broken'
}

/** Whose bytes nobody has seen. */
function failureOfError(code: string, message: string): Failure {
  const alert = alertOf(code, message)
  if (alert !== undefined)
    return {
      kind: 'alert',
      code,
      alert: alertName(alert),
      ...(isAboutCertificates(alert) && { wantsCertificate: true as const }),
    }
  if (code === 'ERR_TIMEOUT') return { kind: 'silent', code }
  if (code === 'ECONNRESET' || code === 'EPIPE') return { kind: 'closed', code }
  return { kind: REFUSED_HERE.test(code) ? 'refused-here' : 'unreachable', code }
}

const ANSWER_CHARACTERS = 60

export function otherProtocol(head: Uint8Array): Pick<Failure, 'spoken' | 'startTls' | 'answer'> {
  const protocol = spokenProtocol(head)
  return {
    ...(protocol && { spoken: protocol.name }),
    ...(protocol?.startTls !== undefined && { startTls: protocol.startTls }),
    ...(head.length > 0 && { answer: firstLine(head) }),
  }
}

function firstLine(bytes: Uint8Array): string {
  const [line = ''] = Buffer.from(bytes)
    .toString('latin1')
    .trimStart()
    .split(/[\r\n]/, 1)
  return line.slice(0, ANSWER_CHARACTERS)
}
