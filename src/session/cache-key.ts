/**
 * The key of a cache: protocol version and id, R3.1. One UTF-16 unit each, so that no two pairs share a string.
 */
export function cacheKey(protocolVersion: number, sessionId: Uint8Array): string {
  return String.fromCharCode(protocolVersion, ...sessionId)
}
