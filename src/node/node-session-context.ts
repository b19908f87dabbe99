import { LRUCache } from 'lru-cache'
import { nodeCrypto } from '../crypto.ts'
import { equalBytes } from '../session/bytes.ts'

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
 * @returns not to be changed
 */
export function nodeSessionIdContext(given: string, serverName: string | undefined): Uint8Array {
  return bindsToServerName ? boundContext(given, serverName) : givenContext(given)
}

/** Of the latest answers, since most servers have one context, and few names. */
const boundContexts = new LRUCache<string, Uint8Array>({ max: 100 })
let latest: { readonly given: string; readonly bytes: Uint8Array } = { given: '', bytes: new Uint8Array(0) }

function givenContext(given: string): Uint8Array {
  if (latest.given !== given) latest = { given, bytes: Buffer.from(given) }
  return latest.bytes
}

function boundContext(given: string, serverName = ''): Uint8Array {
  const name = `${given}\0${serverName}`
  const known = boundContexts.get(name)
  if (known !== undefined) return known
  const hash = nodeCrypto().createHash('sha256').update(given).update('\0')
  const bytes = hash.update(Buffer.from(serverName, 'latin1')).digest()
  boundContexts.set(name, bytes)
  return bytes
}

/** Node has made a session: what is in it says more than the number of a release. @param made - its session id context */
export function noteSessionIdContext(made: Uint8Array, given: string, serverName: string | undefined): void {
  if (equalBytes(nodeSessionIdContext(given, serverName), made)) return
  const isBound = equalBytes(boundContext(given, serverName), made)
  if (isBound || equalBytes(givenContext(given), made)) bindsToServerName = isBound
}
