import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Endpoint } from './probe.ts'
import { UnreachableError, UsageError } from './usage.ts'

const HTTPS_PORT = 443

/** `HOST[:PORT]` in its parts. */
export interface Target {
  readonly host: string
  readonly port: number
}

/**
 * Reads `name`, `name:port`, `192.0.2.1:port`, `2001:db8::1`, `[2001:db8::1]:port`.
 *
 * @throws {@link UsageError} for anything else, such as a URL
 */
export function parseTarget(text: string, defaultPort: number = HTTPS_PORT): Target {
  if (isIP(text) === 6) return { host: text, port: defaultPort }
  const parts = /^(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/.exec(text)
  const [, ipv6, name, port] = parts ?? []
  const host = ipv6 ?? name
  const number = port === undefined ? defaultPort : Number(port)
  if (host === undefined || number < 1 || number > 65_535)
    throw new UsageError(
      `'${text}' is not HOST[:PORT]; write an IPv6 address with a port as [2001:db8::1]:443`,
    )
  return { host, port: number }
}

/** The name to ask for by default: addresses are none, RFC 6066 §3. */
export function defaultServername({ host }: Target): string | undefined {
  return isIP(host) === 0 ? host : undefined
}

/**
 * All addresses of the name.
 *
 * @throws {@link UnreachableError} when there is none
 */
export async function resolveTarget({ host, port }: Target): Promise<Endpoint[]> {
  if (isIP(host) !== 0) return [{ address: host, port }]
  try {
    const found = await lookup(host, { all: true })
    return [...new Set(found.map(({ address }) => address))].map((address) => ({ address, port }))
  } catch (error) {
    throw new UnreachableError(`${host} has no address`, { cause: error })
  }
}
