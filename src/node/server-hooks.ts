import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import { ServerSetupError } from '../errors.ts'
import { nodeTls } from './engine.ts'
import { ServerPolicies, type TlsServer } from './server-policy.ts'
import { keepServerOptions, RESUME_LISTENER_MESSAGE } from './server-setup.ts'

// biome-ignore lint/suspicious/noExplicitAny: EventEmitter's own type of a listener
export type Listener = (...args: any[]) => void

/** The listener that every tls, https and http2 server has for 'connection': one function for all of them. */
function nodeListener(): Listener {
  // Not when the library is loaded: it costs milliseconds.
  cachedListener ??= nodeTls().createServer().listeners('connection')[0] as Listener
  return cachedListener
}

let cachedListener: Listener | undefined

/** Shared by all copies of the library in a process. */
const ATTACHED = Symbol.for('sslctx.attachment')

/** What is changed about a server while it is attached, and how to undo it. */
export class ServerHooks {
  readonly #server: TlsServer
  readonly #undo: (() => void)[] = []
  #wrapped: Listener | undefined
  #policies: ServerPolicies

  /** @throws {@link ServerSetupError} when there is an attachment already, or nothing to attach to */
  constructor(server: TlsServer) {
    this.#server = server
    if (ATTACHED in server)
      throw new ServerSetupError(
        'already-attached',
        'the server is attached already: dispose of that attachment first, or wait until it is closed',
      )
    if (!server.rawListeners('connection').includes(nodeListener()))
      throw new ServerSetupError(
        'not-a-tls-server',
        'attachServer needs a tls, https or http2 server with the connection listener of Node',
      )
    this.#policies = new ServerPolicies(server)
  }

  /** Of this moment: what they say changes with setSecureContext and addContext. */
  get policies(): ServerPolicies {
    return this.#policies
  }

  /** Takes the place of Node's listener, so that those of others keep their order. */
  interceptConnections(intercept: (original: Listener, socket: Duplex) => void): void {
    const wrapped: Listener = (socket: Duplex) => intercept(nodeListener(), socket)
    this.#wrapped = wrapped
    this.#swap(nodeListener(), wrapped)
    Object.defineProperty(this.#server, ATTACHED, { value: true, configurable: true })
    this.#undo.push(() => Reflect.deleteProperty(this.#server, ATTACHED))
  }

  /** New connections are Node's alone from now on. */
  releaseConnections(): void {
    if (this.#wrapped !== undefined) this.#swap(this.#wrapped, nodeListener())
    this.#wrapped = undefined
  }

  #swap(from: Listener, to: Listener): void {
    const listeners = this.#server.rawListeners('connection') as Listener[]
    this.#server.removeAllListeners('connection')
    for (const listener of listeners) this.#server.on('connection', listener === from ? to : listener)
  }

  /** Before the listeners that are there. */
  listen(event: string, listener: Listener): void {
    this.#server.prependListener(event, listener)
    this.#undo.push(() => this.#server.removeListener(event, listener))
  }

  refuseResumeListeners(): void {
    this.listen('newListener', (event: string) => {
      if (event === 'resumeSession')
        throw new ServerSetupError('resume-session-listener', RESUME_LISTENER_MESSAGE)
    })
  }

  /** Certificates may be renewed and names added while attached. */
  watchContexts(): void {
    const server = this.#server
    const { setSecureContext, addContext } = server
    this.#override('setSecureContext', (options: tls.SecureContextOptions): void => {
      const kept = keepServerOptions(server, options)
      unlessItThrows(server, () => Reflect.apply(setSecureContext, server, [kept]))
      this.#policies = this.#policies.renewed()
    })
    this.#override(
      'addContext',
      (servername: string, context: tls.SecureContextOptions | tls.SecureContext): void => {
        Reflect.apply(addContext, server, [servername, context])
        this.#policies = this.#policies.withContext(context)
      },
    )
  }

  #override(name: 'setSecureContext' | 'addContext', value: Listener): void {
    const previous = Object.getOwnPropertyDescriptor(this.#server, name)
    Object.defineProperty(this.#server, name, { value, configurable: true, writable: true })
    this.#undo.push(() => {
      // Somebody else has wrapped ours meanwhile, and still wants to be asked.
      if (this.#server[name] !== value) return
      if (previous === undefined) Reflect.deleteProperty(this.#server, name)
      else Object.defineProperty(this.#server, name, previous)
    })
  }

  /** The server gets back all that it had. */
  undo(): void {
    this.releaseConnections()
    for (const undo of this.#undo.splice(0).reverse()) undo()
  }
}

/**
 * Node assigns what it is given before it finds out that a key does not match: the server would then say one thing, and do
 * another.
 */
function unlessItThrows(server: TlsServer, change: () => void): void {
  const before: Readonly<Record<string, unknown>> = { ...server }
  try {
    change()
  } catch (error) {
    Object.assign(server, before)
    throw error
  }
}
