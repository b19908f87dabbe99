import type { FieldsWithoutTimes } from '../codec/ssl-session-der.ts'
import { copyBytes, isPart } from './bytes.ts'

/** Shared by sessions, and never changed. */
export interface SessionTraits extends TraitNumbers {
  readonly sessionIdContext: Uint8Array
}

/** `cipherSuite` is unknown until the ServerHello. */
export type TraitNumbers = Pick<
  FieldsWithoutTimes,
  'protocolVersion' | 'flags' | 'compressionId' | 'maxFragmentLengthMode'
> & { readonly cipherSuite?: number | undefined }

/** One object for all sessions that agree in these: a process has few kinds of them. The latest kinds are remembered. */
const known: SessionTraits[] = []
const MAX_KNOWN = 8
let next = 0

/** @param sessionIdContext - copied; a part of it, when the places are given */
export function sharedTraits(
  numbers: TraitNumbers,
  sessionIdContext: Uint8Array,
  start = 0,
  end: number = sessionIdContext.length,
): SessionTraits {
  for (const traits of known) if (isOf(traits, numbers, sessionIdContext, start, end)) return traits
  const { protocolVersion, cipherSuite, flags, compressionId, maxFragmentLengthMode } = numbers
  const traits: SessionTraits = {
    protocolVersion,
    cipherSuite,
    sessionIdContext: copyBytes(sessionIdContext.subarray(start, end)),
    flags,
    compressionId,
    maxFragmentLengthMode,
  }
  known[next] = traits
  next = (next + 1) % MAX_KNOWN
  return traits
}

function isOf(
  traits: SessionTraits,
  numbers: TraitNumbers,
  sessionIdContext: Uint8Array,
  start: number,
  end: number,
): boolean {
  // First what tells most of them apart.
  return (
    isPart(traits.sessionIdContext, sessionIdContext, start, end) &&
    numbers.protocolVersion === traits.protocolVersion &&
    numbers.cipherSuite === traits.cipherSuite &&
    numbers.flags === traits.flags &&
    numbers.compressionId === traits.compressionId &&
    numbers.maxFragmentLengthMode === traits.maxFragmentLengthMode
  )
}
