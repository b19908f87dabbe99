import type { LookupFunction } from 'node:net'
import type tls from 'node:tls'
import { nextTick, nodeTls } from '../node/node-engine.ts'
import type { Attempt } from './attempt.ts'
import type { ConnectOptions } from './bound-options.ts'
import { setSessionLate } from './session-format.ts'

/**
 * Connects while a store is still asked. A host name is not looked up before the answer, so that the session is there in time.
 * With an address there is nothing to wait for: the answer must come before the connection, or is not used.
 *
 * @param looked - never rejects
 * @param connect - as `tls.connect`
 */
export function connectLate(
  attempt: Attempt,
  looked: PromiseLike<void>,
  connect: (options: ConnectOptions) => tls.TLSSocket = nodeTls().connect,
): tls.TLSSocket {
  try {
    const socket: tls.TLSSocket = attempt.make((options) =>
      connect(withLateLookup(options, looked, () => socket.destroyed)),
    )
    return attempt.followLate(socket, looked, (session) => setSessionLate(socket, session))
  } catch (error) {
    void looked.then(() => attempt.giveBack())
    throw error
  }
}

function withLateLookup(
  options: ConnectOptions,
  looked: PromiseLike<void>,
  isOver: () => boolean,
): ConnectOptions {
  const { lookup } = options
  // What is no function, Node is to refuse.
  if (lookup !== undefined && lookup !== null && typeof lookup !== 'function') return options
  const late: LookupFunction = (hostname, given, callback) => {
    const look = (): void => {
      if (isOver()) return
      // Who has put another one in its place, as caches of DNS do, is to be asked.
      const chosen = (lookup ?? process.getBuiltinModule('node:dns').lookup) as LookupFunction
      try {
        chosen(hostname, given, callback)
      } catch (error) {
        // Nobody is there any more to catch it.
        ;(callback as (error: unknown) => void)(error)
      }
    }
    // Out of the promise: what listeners throw is not its rejection.
    void looked.then(() => nextTick(look))
  }
  return { ...options, lookup: late }
}
