import { nodeCrypto } from '../crypto.ts'
import { MAX_ID_LENGTH } from '../session/ranges.ts'

/** Who has which name. One that is closed gives its name back, and so does one that is collected. */
const owners = new Map<string, WeakRef<object>>()

/**
 * Two attached servers of a process never have the same name, so that their figures stay apart.
 *
 * @param wish - what the server is to be called; when somebody has that name already, it gets a number
 */
export function takeServerName(wish: string, owner: object): string {
  let name = wish
  for (let number = 2; owners.get(name)?.deref() !== undefined; number++) name = `${wish} ${number}`
  owners.set(name, new WeakRef(owner))
  return name
}

export function returnServerName(name: string, owner: object): void {
  if (owners.get(name)?.deref() === owner) owners.delete(name)
}

/** @returns a session id context that people can read, as the name of its servers; `server` for another one */
export function defaultServerName(sessionIdContext: Uint8Array): string {
  const text = Buffer.from(sessionIdContext).toString('latin1')
  return /^[!-~]([ -~]*[!-~])?$/.test(text) ? text : 'server'
}

/**
 * The session id context of a server with a name: the name itself, so that whoever has used the parts with it goes on; a hash of a long
 * one, which does not fit.
 */
export function sessionIdContextOf(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name)
  if (bytes.length <= MAX_ID_LENGTH) return bytes
  return new Uint8Array(nodeCrypto().createHash('sha256').update('sslctx name').update(bytes).digest())
}
