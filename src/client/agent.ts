import type { Agent, AgentOptions, RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import { hangUp, nextTick, nodeTls } from '../node/node-engine.ts'
import { isPromiseLike } from '../session/awaitable.ts'
import type { Attempt } from './attempt.ts'
import type { ConnectOptions } from './bound-options.ts'
import { connectLate } from './connect-late.ts'

type OnCreate = (error: Error | null, stream: Duplex) => void

/** In a failure Node gives no stream, whatever the types say. */
type OnFailure = (error: Error) => void

/** Makes the agent of {@link ClientSessions.agent}. */
export function agentOf(options: AgentOptions, start: (options: ConnectOptions) => Attempt): Agent {
  const { Agent: NodeAgent } = process.getBuiltinModule('node:https')
  // Nobody outside of Node can tell TLS with a proxy from TLS with the server, and sessions of the one are not those of the other.
  if (hasTlsProxy(options)) return new NodeAgent(options)
  return new (agentClass(start))({ ...options, maxCachedSessions: 0 })
}

/** Made when it is needed, since `node:https` is loaded then. */
function agentClass(start: (options: ConnectOptions) => Attempt): new (options: AgentOptions) => Agent {
  const https = process.getBuiltinModule('node:https')

  return class SessionAgent extends https.Agent {
    #destructions = 0

    /** Node's own does all the rest, proxies included. */
    override createConnection(...given: readonly unknown[]): Duplex | null | undefined {
      const callback = callbackOf(given)
      const options = optionsOf(given)
      const attempt = start(options)
      const looked = callback === undefined ? undefined : attempt.lookUp()
      if (!isPromiseLike(looked)) return this.#connect(attempt, callback)
      // Node counts it among its sockets from now on.
      if (isLookedUp(options, this.options))
        return connectLate(
          attempt,
          looked,
          (late) => super.createConnection(late as RequestOptions) as tls.TLSSocket,
        )
      const connect = this.#connectLate.bind(this, attempt, callback, this.#destructions)
      // Out of the promise: what the caller throws is not its rejection.
      void looked.then(() => nextTick(connect))
      return undefined
    }

    /** Whoever still waits for the store has no socket yet that could be destroyed. */
    override destroy(): void {
      this.#destructions++
      super.destroy()
    }

    #connect(attempt: Attempt, callback: OnCreate | undefined): Duplex | null | undefined {
      const stream = attempt.make((options) =>
        super.createConnection(options as RequestOptions, (error, made) => {
          // Node calls back when a proxy is in between: TLS through it is ready, or has failed.
          if (error) attempt.fail(error)
          else attempt.followConnected(made as tls.TLSSocket)
          callback?.(error, made)
        }),
      )
      // A plain socket is that of a proxy.
      if (stream instanceof nodeTls().TLSSocket) attempt.follow(stream)
      return stream
    }

    /** Nobody is there any more to catch what `tls.connect` throws. */
    #connectLate(attempt: Attempt, callback: OnCreate | undefined, destructions: number): void {
      let stream: Duplex | null | undefined
      try {
        if (this.#destructions !== destructions) throw hangUp()
        stream = this.#connect(attempt, callback)
      } catch (error) {
        attempt.giveBack()
        fail(callback, error as Error)
        return
      }
      if (stream instanceof nodeTls().TLSSocket) callback?.(null, stream)
    }
  }
}

/** Node is going to look up the server's host by a name, which can wait for the store. */
function isLookedUp({ host, path, socket }: ConnectOptions, agentOptions: AgentOptions): boolean {
  const { proxyEnv } = agentOptions as { readonly proxyEnv?: unknown }
  const isName = process.getBuiltinModule('node:net').isIP(host ?? '') === 0
  return isName && !path && !socket && proxyEnv === undefined
}

function fail(callback: OnCreate | undefined, error: Error): void {
  ;(callback as OnFailure | undefined)?.(error)
}

/** Since Node 24, `proxyEnv` of an agent names its proxies, as the environment does. */
function hasTlsProxy({ proxyEnv }: AgentOptions & { readonly proxyEnv?: unknown }): boolean {
  if (typeof proxyEnv !== 'object' || proxyEnv === null) return false
  // Node reads its names from whatever it is given, which may inherit them.
  const names = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY', ...Object.keys(proxyEnv)]
  return names.some((name) => /proxy$/i.test(name) && /^\s*https:/i.test(String(Reflect.get(proxyEnv, name))))
}

/** (options), (port, options) or (port, host, options), as Node takes them. */
function optionsOf(given: readonly unknown[]): ConnectOptions {
  const [first, second] = given
  const options = given.slice(0, 3).find((one) => typeof one === 'object' && one !== null)
  return {
    ...options,
    ...(typeof first === 'number' && { port: first }),
    ...(typeof second === 'string' && { host: second }),
  }
}

function callbackOf(given: readonly unknown[]): OnCreate | undefined {
  const last = given.at(-1)
  return typeof last === 'function' ? (last as OnCreate) : undefined
}
