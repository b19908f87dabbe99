import { compactDer, type SessionEdits } from '../codec/compact-session.ts'
import { copySpan } from '../codec/der.ts'
import type { SessionOutline, SslSessionFields } from '../codec/ssl-session-der.ts'
import { copyBytes } from './bytes.ts'

/** What a session holds besides its times, which may lie in it and mean nothing; `cipherSuite` is unknown until the ServerHello. */
export type SessionContent = Omit<SslSessionFields, 'cipherSuite' | 'timeSec' | 'timeoutSec'> & {
  readonly cipherSuite?: number
}

export type Writable<T> = { -readonly [K in keyof T]: T[K] }

const EMPTY = new Uint8Array(0)

/** R6.1, shared by new sessions: whoever changes it has a copy. 255 is TLSEXT_max_fragment_length_UNSPECIFIED. */
export const NEW_CONTENT: SessionContent = {
  protocolVersion: 0,
  sessionId: EMPTY,
  masterKey: EMPTY,
  sessionIdContext: EMPTY,
  verifyResult: 1,
  ticketLifetimeHintSec: 0n,
  compressionId: 0,
  flags: 0,
  ticketAgeAdd: 0,
  maxEarlyData: 0,
  maxFragmentLengthMode: 255,
  kexGroup: 0,
}

export function hasSuite(
  content: SessionContent,
): content is SessionContent & { readonly cipherSuite: number } {
  return content.cipherSuite !== undefined
}

/** @param content - to be changed, perhaps */
export function edited(
  content: Writable<SessionContent>,
  { sessionIdContext, hostname, ticketAppData }: SessionEdits,
): SessionContent {
  if (sessionIdContext !== undefined) content.sessionIdContext = copyBytes(sessionIdContext)
  if (ticketAppData !== undefined) content.ticketAppData = copyBytes(ticketAppData)
  if (hostname === undefined) return content
  if (hostname !== null) content.hostname = copyBytes(hostname)
  else {
    const { hostname: _, ...others } = content
    return others
  }
  return content
}

/** `ssl_session_dup` drops the hint with the ticket. */
export function withoutTicket({ ticket, ...content }: SessionContent): SessionContent {
  return { ...content, ticketLifetimeHintSec: 0n }
}

/** A session as it came, in DER; most are edited before they are kept, so that the compact form is written once. */
export class DerContent {
  readonly #der: Uint8Array
  readonly #outline: SessionOutline

  /** @param outline - of `der` */
  constructor(der: Uint8Array, outline: SessionOutline) {
    this.#der = der
    this.#outline = outline
  }

  get ticketAppData(): Uint8Array | undefined {
    const { ticketAppData } = this.#outline
    return ticketAppData && copySpan(this.#der, ticketAppData)
  }

  compact(edits: SessionEdits): string {
    return compactDer(this.#der, this.#outline, edits)
  }
}
