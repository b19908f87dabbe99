import type { Duplex } from 'node:stream'
import type tls from 'node:tls'
import { ServerSetupError } from '../errors.ts'
import { nodeTls, type TlsServer } from './node-engine.ts'
import { keepServerOptions, RESUME_LISTENER_MESSAGE, ticketKeysRefused } from './server-setup.ts'
import { TrustProfiles } from './trust-profile.ts'

// biome-ignore lint/suspicious/noExplicitAny: EventEmitter's own type of a listener
export type Listener = (...args: any[]) => void

/** The listener that every tls, https and http2 server has for 'connection': one function for all of them. */
function nodeListener(): Listener {
  // Not when the library is loaded: it costs milliseconds. The option is one that attached servers have, so that both are of one class to
  // the engine: at the place where Node marks servers and sockets, V8 remembers four classes, and is slow with more.
  cachedListener ??= nodeTls().createServer({ sessionTimeout: 1 }).listeners('connection')[0] as Listener
  return cachedListener
}

let cachedListener: Listener | undefined

const NOT_A_TLS_SERVER =
  'the server of attachServer must be a tls, https or http2 server with the connection listener of Node'

/** Shared by all copies of the library in a process. */
const ATTACHED = Symbol.for('sslctx.attachment')

/** What is changed about a server while it is attached, and how to undo it. */
export class ServerHooks {
  readonly #server: TlsServer
  readonly #undo: (() => void)[] = []
  #wrapped: Listener | undefined
  /** They change with setSecureContext and addContext. */
  readonly profiles: TrustProfiles

  /** @throws {@link ServerSetupError} when there is an attachment already, or nothing to attach to */
  constructor(server: TlsServer) {
    this.#server = server
    if (!(server instanceof nodeTls().Server))
      throw new ServerSetupError('not-a-tls-server', NOT_A_TLS_SERVER)
    if (ATTACHED in server)
      throw new ServerSetupError(
        'already-attached',
        'the server is attached already: dispose of that attachment first, or wait until it is closed',
      )
    if (!server.rawListeners('connection').includes(nodeListener()))
      throw new ServerSetupError('not-a-tls-server', NOT_A_TLS_SERVER)
    this.profiles = new TrustProfiles(server)
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

  /** Keys of the owner's would be used by nobody. */
  refuseTicketKeys(): void {
    const server = this.#server
    const { setTicketKeys, _setServerData: setServerData } = server
    let isCluster = false
    this.#override('setTicketKeys', (keys: Buffer) => {
      if (!isCluster) throw ticketKeysRefused()
      Reflect.apply(setTicketKeys, server, [keys])
    })
    // node:cluster gives each worker the keys of its first, by that same method.
    this.#override('_setServerData', (data: unknown) => {
      isCluster = true
      try {
        Reflect.apply(setServerData, server, [data])
      } finally {
        isCluster = false
      }
    })
  }

  /**
   * Certificates may be renewed and names added while attached.
   *
   * @param onRenewed - the server has another SecureContext
   * @param hasTickets - under keys of ours
   */
  watchContexts(onRenewed: () => void, hasTickets: boolean): void {
    const server = this.#server
    const { setSecureContext, addContext } = server
    this.#override('setSecureContext', (options: tls.SecureContextOptions): void => {
      // What is no object, Node refuses.
      const kept = isObject(options) ? keepServerOptions(server, options, hasTickets) : options
      unlessItThrows(server, () => {
        Reflect.apply(setSecureContext, server, [kept])
        onRenewed()
      })
      this.profiles.renew()
    })
    this.#override(
      'addContext',
      (servername: string, context: tls.SecureContextOptions | tls.SecureContext): void => {
        Reflect.apply(addContext, server, [servername, context])
        // Nonsense becomes an empty SecureContext in Node.
        this.profiles.addContext(isObject(context) ? context : {})
      },
    )
  }

  #override(name: Overridden, hooked: Listener): void {
    const server = this.#server
    const previous = Object.getOwnPropertyDescriptor(server, name)
    const { [name]: original } = server
    let isUndone = false
    const value: Listener = (...args) => Reflect.apply(isUndone ? original : hooked, server, args)
    Object.defineProperty(server, name, { value, configurable: true, writable: true })
    this.#undo.push(() => {
      isUndone = true
      // Somebody else has wrapped ours meanwhile, and still wants to be asked.
      if (server[name] !== value) return
      if (previous === undefined) Reflect.deleteProperty(server, name)
      else Object.defineProperty(server, name, previous)
    })
  }

  /** The server gets back all that it had. */
  undo(): void {
    this.releaseConnections()
    for (const undo of this.#undo.splice(0).reverse()) undo()
  }
}

type Overridden = 'setSecureContext' | 'addContext' | 'setTicketKeys' | '_setServerData'

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
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
