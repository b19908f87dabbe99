import { lookup as dnsLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import type tls from 'node:tls'
import { nodeTls } from '../node/node-engine.ts'
import type { Attempt } from './attempt.ts'
import { setSessionLate } from './session-format.ts'

/**
 * Connects while a store is still asked. A host name is not looked up before the answer, so that the session is there in time.
 * With an address there is nothing to wait for: the answer must come before the connection, or is not used.
 *
 * @param looked - never rejects
 */
export function connectLate(attempt: Attempt, looked: PromiseLike<void>): tls.TLSSocket {
  const { options } = attempt
  const lookup = (options.lookup ?? dnsLookup) as LookupFunction
  const socket = nodeTls().connect({
    ...options,
    lookup: (hostname, given, callback) => void looked.then(() => lookup(hostname, given, callback)),
  })
  return attempt.followLate(socket, looked, (session) => setSessionLate(socket, session))
}
