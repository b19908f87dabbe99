import {
  type SslContextOptions as OptionsOfPorts,
  SslContext as SslContextOfPorts,
} from './context/ssl-context.ts'
import { nodeCrypto } from './crypto.ts'
import { observer } from './observability/channels.ts'
import type { SslContextPorts } from './session/contracts.ts'

/** The context's settings, and the ports that a test may want to replace. */
export interface SslContextOptions extends OptionsOfPorts, Partial<SslContextPorts> {}

/** A call of the generator costs as much for one id as for hundreds. No byte is given out twice, nor kept once it was. */
const pool = new Uint8Array(8192)
let poolOffset: number = pool.length

function pooledRandomBytes(length: number): Uint8Array {
  if (length > pool.length) return nodeCrypto().randomFillSync(new Uint8Array(length))
  if (poolOffset + length > pool.length) {
    nodeCrypto().randomFillSync(pool)
    poolOffset = 0
  }
  const bytes = pool.slice(poolOffset, poolOffset + length)
  pool.fill(0, poolOffset, poolOffset + length)
  poolOffset += length
  return bytes
}

const ports: SslContextPorts = {
  now: Date.now,
  randomBytes: pooledRandomBytes,
  sha256: (bytes) => new Uint8Array(nodeCrypto().createHash('sha256').update(bytes).digest()),
  observer,
}

/**
 * `SSL_CTX` as far as the session cache goes, with the system's clock, `node:crypto`'s random bytes and SHA-256. Its events are
 * published on the channels `sslctx:*` of `node:diagnostics_channel` and as `DEBUG=sslctx:*`.
 *
 * @example
 * ```ts
 * const context = new SslContext({ sessionIdContext: 'shop', sessionCacheSize: 100_000, sessionTimeout: 3600 })
 * context.subscribe((event) => console.log(event.type))
 * console.log(context.stats.hits, context.stats.misses)
 * ```
 */
export class SslContext extends SslContextOfPorts {
  constructor(options: SslContextOptions = {}) {
    super({ ...ports, ...given(options) }, options)
  }
}

/** An option that is undefined is as if it were not there. What is no object at all is refused with the other options. */
function given(options: SslContextOptions): Partial<SslContextPorts> {
  return Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined))
}
