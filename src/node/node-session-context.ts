import { nodeCrypto } from '../crypto.ts'

/** The first releases that were seen to do it, and what comes after those that were seen not to. */
export function isBindingRelease(version: string = process.versions.node): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  const since = BINDING_RELEASES[major]
  if (since === undefined) return major > 26
  return minor > since[0] || (minor === since[0] && patch >= since[1])
}

const BINDING_RELEASES: Readonly<Record<number, readonly [minor: number, patch: number]>> = {
  22: [23, 5],
  24: [22, 3],
  26: [12, 2],
}

/** Whether Node has libssl look at more than the session id context that it was given: see {@link nodeSessionIdContext}. */
let bindsToServerName: boolean = isBindingRelease()

/**
 * The session id context that libssl compares, [4] of its sessions. Of late, Node binds it to the server name of the first
 * ClientHello, by SHA-256.
 *
 * @param given - what Node was given for the connection
 */
export function nodeSessionIdContext(given: string, serverName: string | undefined): Buffer {
  return bindsToServerName ? boundContext(given, serverName) : Buffer.from(given)
}

function boundContext(given: string, serverName = ''): Buffer {
  return nodeCrypto()
    .createHash('sha256')
    .update(given)
    .update('\0')
    .update(Buffer.from(serverName, 'latin1'))
    .digest()
}

/** Node has made a session: what is in it says more than the number of a release. @param made - its session id context */
export function noteSessionIdContext(made: Uint8Array, given: string, serverName: string | undefined): void {
  if (nodeSessionIdContext(given, serverName).equals(made)) return
  const isBound = boundContext(given, serverName).equals(made)
  if (isBound || Buffer.from(given).equals(made)) bindsToServerName = isBound
}
