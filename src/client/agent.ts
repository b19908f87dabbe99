import type { Agent, AgentOptions, RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import { isPromiseLike } from '../session/awaitable.ts'
import type { Attempt } from './attempt.ts'
import type { ConnectOptions } from './bound-options.ts'

type OnCreate = (error: Error | null, stream: Duplex) => void

/** In a failure Node gives no stream, whatever the types say. */
type OnFailure = (error: Error) => void

/** Makes the agent of {@link ClientSessions.agent}: a class of its own, since `node:https` is loaded when it is first needed. */
export function agentOf(options: AgentOptions, start: (options: ConnectOptions) => Attempt): Agent {
  const https = process.getBuiltinModule('node:https')

  class SessionAgent extends https.Agent {
    /** Node's own does all the rest, proxies included. */
    override createConnection(given: RequestOptions, callback?: OnCreate): Duplex | null | undefined {
      const attempt = start(given as ConnectOptions)
      const looked = callback === undefined ? undefined : attempt.lookUp()
      if (!isPromiseLike(looked)) return this.#connect(attempt, callback)
      void looked.then(() => this.#connectLate(attempt, callback))
      return undefined
    }

    #connect(attempt: Attempt, callback: OnCreate | undefined): Duplex | null | undefined {
      let isFollowed = false
      const follow = (stream: Duplex | null | undefined): void => {
        if (isFollowed || !stream) return
        isFollowed = true
        attempt.follow(stream as tls.TLSSocket)
      }
      const stream = super.createConnection(attempt.connectOptions() as RequestOptions, (error, made) => {
        if (error) attempt.abandon(true)
        else follow(made)
        callback?.(error, made)
      })
      follow(stream)
      return stream
    }

    /** Nobody is there any more to catch what `tls.connect` throws. */
    #connectLate(attempt: Attempt, callback: OnCreate | undefined): void {
      try {
        const stream = this.#connect(attempt, callback)
        if (stream) callback?.(null, stream)
      } catch (error) {
        ;(callback as OnFailure | undefined)?.(error as Error)
      }
    }
  }

  return new SessionAgent({ ...options, maxCachedSessions: 0 })
}
