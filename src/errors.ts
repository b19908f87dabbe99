/**
 * What this library throws on bad input. `code` is the contract and stays; a message is for people and may change.
 *
 * A message says what was looked at, the rule, and the size or kind of what was got. It never quotes the bytes: those of a
 * session are its master key.
 */
export abstract class SessionCacheError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** The input is not the DER (X.690), or not the PEM (RFC 7468), of an SSL_SESSION. */
export class SessionDerError extends SessionCacheError {
  readonly code = 'ERR_SESSION_DER_INVALID'

  /** Where the first thing that is wrong begins: a byte of the DER, or a UTF-16 code unit of the PEM text. */
  readonly offset: number

  constructor(message: string, offset: number, options?: ErrorOptions) {
    super(`${message} (at offset ${offset})`, options)
    this.offset = offset
  }
}

/** A value is outside of what its field can hold. */
export class SessionRangeError extends RangeError {
  readonly code = 'ERR_SESSION_OUT_OF_RANGE'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SessionRangeError'
  }
}

/** A method was called at a moment at which it makes no sense, such as `finishHandshake` without a handshake. */
export class SessionStateError extends SessionCacheError {
  readonly code = 'ERR_SESSION_STATE'
}

/** A rule of libssl ends the handshake: `tlsClientError` of a Node server hears of it. */
export class ResumptionError extends SessionCacheError {
  readonly code = 'ERR_SESSION_RESUMPTION'

  /** One of the reasons of a refusal that come with an alert. */
  readonly reason: string

  constructor(reason: string) {
    super(`the session cannot be resumed, and the handshake must fail: ${reason}`)
    this.reason = reason
  }
}
