import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { HandshakeError } from './failure.ts'
import type { Endpoint } from './probe.ts'
import { serverName } from './server-name.ts'
import { quoted, UnreachableError, UsageError } from './usage.ts'

const HTTPS_PORT = 443
const MAX_PORT = 65_535

/** `HOST[:PORT]` in its parts. */
export interface Target {
  /** An address, or a name in A-labels. */
  readonly host: string
  readonly port: number
}

/** URLs that begin with TLS. */
const PORTS_OF_SCHEMES: ReadonlyMap<string, number> = new Map([
  ['https', HTTPS_PORT],
  ['wss', HTTPS_PORT],
  ['ldaps', 636],
  ['ftps', 990],
  ['imaps', 993],
  ['pop3s', 995],
  ['smtps', 465],
  ['amqps', 5671],
  ['rediss', 6379],
  ['mqtts', 8883],
])

/**
 * Reads `name`, `name:port`, `192.0.2.1:port`, `2001:db8::1`, `[2001:db8::1]:port`, `https://name:port/path`.
 *
 * @throws {@link UsageError} for anything else
 */
export function parseTarget(text: string, defaultPort: number = HTTPS_PORT): Target {
  const url = /^([a-z][a-z0-9+.-]*):\/\/(?:[^/?#]*@)?([^/?#]*)/i.exec(text)
  if (url === null) return parseAuthority(text, text, defaultPort)
  const [, scheme = '', authority = ''] = url
  const port = PORTS_OF_SCHEMES.get(scheme.toLowerCase())
  if (port === undefined)
    throw new UsageError(
      `'${scheme}://' does not begin with TLS; write HOST:PORT, with --starttls if it is a matter of that`,
    )
  return parseAuthority(authority, `${scheme}://${authority}`, port)
}

function parseAuthority(text: string, shown: string, defaultPort: number): Target {
  if (isIP(text) === 6) return { host: text, port: defaultPort }
  const parts = /^(?:\[([0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?)\]|([^\s:/[\]]+))(?::(\d+))?$/.exec(text)
  const [, ipv6, name, port] = parts ?? []
  const host = ipv6 ?? name
  const number = port === undefined ? defaultPort : Number(port)
  if (host === undefined || (ipv6 !== undefined && isIP(ipv6) !== 6))
    throw new UsageError(
      `${quoted(shown)} is not HOST[:PORT]; write an IPv6 address with a port as [2001:db8::1]:443`,
    )
  if (number < 1 || number > MAX_PORT)
    throw new UsageError(`${quoted(shown)} is not HOST[:PORT]: a port is a number from 1 to ${MAX_PORT}`)
  return { host: isIP(host) === 0 ? serverName(host, 'HOST') : host, port: number }
}

/** The name to ask for by default: addresses are none, RFC 6066 §3. */
export function defaultServername({ host }: Target): string | undefined {
  return isIP(host) === 0 ? host : undefined
}

/**
 * All addresses of the name.
 *
 * @param timeoutMs - the system's resolver may take half a minute
 * @throws {@link UnreachableError} when there is none
 */
export async function resolveTarget({ host, port }: Target, timeoutMs: number): Promise<Endpoint[]> {
  if (isIP(host) !== 0) return [{ address: host, port }]
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<never>((_resolve, reject) => {
    const cause = Object.assign(new Error('no answer'), { code: 'ERR_TIMEOUT' })
    const error = new UnreachableError(`${host}: no answer of the resolver`, { code: 'no-address', cause })
    timer = setTimeout(() => reject(error), timeoutMs)
  })
  try {
    const found = await Promise.race([lookup(host, { all: true }), patience])
    return [...new Set(found.map(({ address }) => address))].map((address) => ({ address, port }))
  } catch (error) {
    if (error instanceof UnreachableError) throw error
    throw new UnreachableError(`${host} has no address`, { code: 'no-address', cause: error })
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The first address with which `attempt` does not end in want of a connection, as clients go from one to the next.
 *
 * @throws what the last one has thrown
 */
export async function firstThatConnects<T>(
  endpoints: readonly Endpoint[],
  attempt: (endpoint: Endpoint) => Promise<T>,
): Promise<{ readonly endpoint: Endpoint; readonly result: T }> {
  for (const [index, endpoint] of endpoints.entries()) {
    try {
      return { endpoint, result: await attempt(endpoint) }
    } catch (error) {
      const isUnreachable = error instanceof HandshakeError && error.failure.kind === 'unreachable'
      if (!isUnreachable || index === endpoints.length - 1) throw error
    }
  }
  throw new UnreachableError('the name has no address', { code: 'no-address' })
}
