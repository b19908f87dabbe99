import type net from 'node:net'
import type tls from 'node:tls'
import { nextTick, nodeTls } from '../node/node-engine.ts'
import { isPromiseLike } from '../session/awaitable.ts'
import type { Attempt } from './attempt.ts'
import type { ConnectOptions } from './bound-options.ts'

/** Options of `ClientSessions.undici`: those of `tls.connect`, and two of undici. */
export interface UndiciOptions extends ConnectOptions {
  /** HTTP/2 where the server has it; false by default. Give it to the Agent as well. */
  readonly allowH2?: boolean
  /** The path of a UNIX socket. */
  readonly socketPath?: string
}

/** What undici asks of its `connect`. */
export interface UndiciTarget {
  readonly hostname: string
  readonly host?: string | undefined
  readonly protocol?: string
  readonly port: string | number
  readonly servername?: string | undefined
  readonly localAddress?: string | null | undefined
  readonly httpSocket?: net.Socket | undefined
}

/** What undici's Agent, Pool and Client take as `connect`: it makes a connection, and calls back with it. */
export type UndiciConnector = (
  target: UndiciTarget,
  callback: (
    ...result: [error: Error, socket: null] | [error: null, socket: net.Socket | tls.TLSSocket]
  ) => void,
) => void

type Callback = Parameters<UndiciConnector>[1]

/** What undici's own connector takes where nothing is said. */
const TIMEOUT_MS = 10_000
const KEEP_ALIVE_DELAY_MS = 60_000
const HIGH_WATER_MARK = 16_384

type KeepAliveOptions = Pick<ConnectOptions, 'keepAlive' | 'keepAliveInitialDelay'>

export function undiciConnector(
  { allowH2 = false, socketPath, timeout = TIMEOUT_MS, ...options }: UndiciOptions,
  start: (options: ConnectOptions) => Attempt,
): UndiciConnector {
  const given = { ...options, ...(socketPath !== undefined && { path: socketPath }) }
  return (target, callback) => {
    if (target.protocol === 'http:') {
      settle(keptAlive(plainSocket(target, given), given), target, timeout, callback)
      return
    }
    const attempt = start({
      ALPNProtocols: allowH2 ? ['http/1.1', 'h2'] : ['http/1.1'],
      highWaterMark: HIGH_WATER_MARK,
      ...tlsOptions(target, given),
    })
    const go = (): void => connect(attempt, target, { ...given, timeout }, callback)
    const looked = attempt.lookUp()
    // Out of the promise: what the callback throws is not its rejection.
    if (isPromiseLike(looked)) void looked.then(() => nextTick(go))
    else go()
  }
}

function plainSocket(target: UndiciTarget, options: ConnectOptions): net.Socket {
  const { connect } = process.getBuiltinModule('node:net')
  return target.httpSocket ?? connect({ ...options, ...placeOf(target, 80) } as net.NetConnectOpts)
}

function placeOf(
  { hostname, port, localAddress }: UndiciTarget,
  defaultPort: number,
): ConnectOptions & { host: string } {
  return {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(port || defaultPort),
    ...(localAddress && { localAddress }),
  }
}

function tlsOptions(target: UndiciTarget, options: ConnectOptions): ConnectOptions {
  const place = placeOf(target, 443)
  const isName = process.getBuiltinModule('node:net').isIP(place.host) === 0
  const servername = target.servername || options.servername || (isName ? place.host : undefined)
  const { httpSocket } = target
  return {
    ...options,
    ...place,
    ...(servername && { servername }),
    ...(httpSocket && { socket: httpSocket }),
  }
}

function connect(
  attempt: Attempt,
  target: UndiciTarget,
  given: KeepAliveOptions & { readonly timeout: number },
  callback: Callback,
): void {
  let socket: tls.TLSSocket
  try {
    socket = attempt.follow(attempt.make((options) => nodeTls().connect(options)))
  } catch (error) {
    callback(error as Error, null)
    return
  }
  settle(keptAlive(socket, given), target, given.timeout, callback)
}

/** As undici does, also for a socket that was given. */
function keptAlive<Socket extends net.Socket>(
  socket: Socket,
  { keepAlive, keepAliveInitialDelay = KEEP_ALIVE_DELAY_MS }: KeepAliveOptions,
): Socket {
  return (keepAlive ?? true) ? socket.setKeepAlive(true, keepAliveInitialDelay) : socket
}

/** Answers once: when the socket is ready, has failed, or takes too long. */
function settle(socket: net.Socket, target: UndiciTarget, timeoutMs: number, callback: Callback): void {
  const event = target.protocol === 'http:' ? 'connect' : 'secureConnect'
  const timer =
    timeoutMs > 0
      ? setTimeout(() => socket.destroy(new ConnectTimeout(socket, target, timeoutMs)), timeoutMs)
      : undefined
  const onError = (error: Error): void => end(() => callback(error, null))
  const onClose = (): void => onError(new Error('the connection was closed before it was ready'))
  const onReady = (): void => end(() => callback(null, socket))
  const end = (answer: () => void): void => {
    clearTimeout(timer)
    socket.off('error', onError).off('close', onClose).off(event, onReady)
    answer()
  }
  socket.setNoDelay(true)
  socket.once('error', onError).once('close', onClose).once(event, onReady)
}

/** As undici's own error: by these marks it is an instance of undici's classes. */
class ConnectTimeout extends Error {
  override readonly name = 'ConnectTimeoutError'
  readonly code = 'UND_ERR_CONNECT_TIMEOUT'

  constructor(socket: net.Socket, { hostname, port }: UndiciTarget, timeoutMs: number) {
    const { autoSelectFamilyAttemptedAddresses: addresses } = socket
    const attempted = Array.isArray(addresses)
      ? `attempted addresses: ${addresses.join(', ')}`
      : `attempted address: ${hostname}:${port}`
    super(`Connect Timeout Error (${attempted}, timeout: ${timeoutMs}ms)`)
  }

  get [Symbol.for('undici.error.UND_ERR')](): boolean {
    return true
  }

  get [Symbol.for('undici.error.UND_ERR_CONNECT_TIMEOUT')](): boolean {
    return true
  }
}
