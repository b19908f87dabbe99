import { type CompactEdits, compactDer, type OctetsReader } from '../codec/compact-session.ts'
import { copySpan, type Span } from '../codec/der.ts'
import { writeLatin1 } from '../codec/latin1.ts'
import type { SessionOutline, SslSessionFields } from '../codec/ssl-session-der.ts'
import { copyBytes } from './bytes.ts'

/** What may be changed without a look at the rest. What is undefined stays as it is. */
export interface SessionEdits extends CompactEdits {
  /** 0 to 32 bytes. */
  readonly sessionIdContext?: Uint8Array | undefined
}

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

export function applyEdits(
  content: Writable<SessionContent>,
  { sessionIdContext, hostname, ticketAppData }: SessionEdits,
): void {
  if (sessionIdContext !== undefined) content.sessionIdContext = copyBytes(sessionIdContext)
  if (ticketAppData === null) delete content.ticketAppData
  else if (ticketAppData !== undefined) content.ticketAppData = copyBytes(ticketAppData)
  if (hostname === null) delete content.hostname
  else if (hostname !== undefined) content.hostname = copyBytes(hostname)
}

/** `ssl_session_dup` drops the hint with the ticket. */
export function withoutTicket({ ticket, ...content }: SessionContent): SessionContent {
  return { ...content, ticketLifetimeHintSec: 0n }
}

/**
 * A session as it came, in DER: most are edited before they are kept, so that the compact form is written once, and those in tickets
 * are only looked at. What it gives is a copy.
 */
export class DerContent {
  readonly #der: Uint8Array
  readonly #outline: SessionOutline
  readonly #absentHostname: string | undefined

  /**
   * @param outline - of `der`
   * @param absentHostname - the hostname of a session that has none in its DER, a UTF-16 unit for each byte
   */
  constructor(der: Uint8Array, outline: SessionOutline, absentHostname: string | undefined) {
    this.#der = der
    this.#outline = outline
    this.#absentHostname = outline.layout.hostname === undefined ? absentHostname : undefined
  }

  lendTicketAppData<T>(read: OctetsReader<T>): T | undefined {
    const span = this.#outline.layout.ticketAppData
    return span && read(this.#der, span.start, span.end)
  }

  get hostname(): Uint8Array | undefined {
    const text = this.#absentHostname
    if (text === undefined) return this.#octets(this.#outline.layout.hostname)
    const hostname = new Uint8Array(text.length)
    writeLatin1(text, hostname)
    return hostname
  }

  get masterKey(): Uint8Array {
    /* v8 ignore next -- which is mandatory */
    return this.#octets(this.#outline.layout.masterKey) ?? EMPTY
  }

  get sessionIdLength(): number {
    return lengthOf(this.#outline.layout.sessionId)
  }

  get ticketLength(): number {
    return lengthOf(this.#outline.layout.ticket)
  }

  #octets(span: Span | undefined): Uint8Array | undefined {
    return span && copySpan(this.#der, span)
  }

  compact(edits: CompactEdits): string {
    const isNamed = this.#absentHostname === undefined || edits.hostname !== undefined
    return compactDer(this.#der, this.#outline, isNamed ? edits : { ...edits, hostname: this.hostname })
  }
}

function lengthOf(span: Span | undefined): number {
  return span === undefined ? 0 : span.end - span.start
}
