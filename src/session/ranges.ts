import { MAX_SESSION_SECONDS } from '../codec/session-reader.ts'
import { SessionRangeError } from '../errors.ts'
import { kindOf } from './arguments.ts'

/**
 * Departure D5: libssl lets negative times and times beyond 2^64 ns wrap, so that a session dies at birth or never;
 * here they are refused.
 *
 * @throws {@link SessionRangeError} unless `seconds` is an integer from 0 to 18446744073
 */
export function checkSeconds(name: string, seconds: number): number {
  return checkInteger(name, seconds, MAX_SESSION_SECONDS)
}

/**
 * A moment, of a clock that need not tick in whole milliseconds.
 *
 * @throws {@link SessionRangeError} unless it is a number from 0 to 18446744073999
 */
export function checkMilliseconds(name: string, ms: number): void {
  if (typeof ms !== 'number' || !(ms >= 0 && ms < (MAX_SESSION_SECONDS + 1) * 1000))
    throw new SessionRangeError(`${name} must be milliseconds since the epoch, got ${kindOf(ms)}`)
}

/** @throws {@link SessionRangeError} unless `value` is an integer from `minimum` to `maximum` */
export function checkInteger(name: string, value: number, maximum: number, minimum: number = 0): number {
  if (!Number.isInteger(value) || value < minimum || value > maximum)
    throw new SessionRangeError(
      `${name} must be an integer from ${minimum} to ${maximum}, got ${kindOf(value)}`,
    )
  return value
}

/** RFC 9846 §4.7.1 (RFC 8446 §4.6.1): servers must not use a longer lifetime of tickets, clients must not cache for longer. */
export const ONE_WEEK_SEC = 604_800 as const

/** SSL_MAX_SSL_SESSION_ID_LENGTH and SSL_MAX_SID_CTX_LENGTH are the same number, R3.2 and R9.1. */
export const MAX_ID_LENGTH = 32 as const

export function checkIdLength(name: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length > MAX_ID_LENGTH)
    throw new SessionRangeError(`${name} must be at most ${MAX_ID_LENGTH} bytes long, got ${bytes.length}`)
  return bytes
}
