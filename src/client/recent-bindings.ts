import type tls from 'node:tls'
import { LRUCache } from 'lru-cache'
import { nodeTls } from '../node/node-engine.ts'
import {
  bindingOfValues,
  boundValues,
  type ConnectOptions,
  hasContextOptions,
  isNodeAsItWas,
} from './bound-options.ts'

/** What it holds may be copies of bundles of authorities. */
const MAX_RECENT = 16

interface Recent {
  readonly values: readonly unknown[]
  readonly binding: string
  secureContext: tls.SecureContext | undefined
}

/**
 * The bindings of the latest servers: to compare what they are made of costs a fraction of the hash. What they are made of is
 * also all that Node makes a SecureContext of, so that its next connection can have the same one.
 */
export class RecentBindings {
  readonly #key: Uint8Array
  readonly #recent = new LRUCache<string, Recent>({ max: MAX_RECENT })

  /** @param key - of the HMAC, 32 bytes */
  constructor(key: Uint8Array) {
    this.#key = key
    isNodeAsItWas()
  }

  /** As `bindingOf`, of what the options are at this moment. Never throws. */
  of(options: ConnectOptions): string | undefined {
    try {
      return this.#of(options)
    } catch {
      // Node is to refuse such options.
      return undefined
    }
  }

  /**
   * What Node would make of the same options.
   *
   * @param binding - of the options, at this moment
   * @returns undefined where Node is to make it itself
   * @throws what `tls.createSecureContext` throws
   */
  secureContext(options: ConnectOptions, binding: string): tls.SecureContext | undefined {
    const recent = this.#recent.get(placeOf(options))
    if (recent?.binding !== binding || hasContextOptions(options)) return undefined
    // Of single use it would end with its first connection.
    const lasting = { ...options, singleUse: false }
    recent.secureContext ??= nodeTls().createSecureContext(lasting)
    return recent.secureContext
  }

  clear(): void {
    this.#recent.clear()
  }

  #of(options: ConnectOptions): string | undefined {
    const values = boundValues(options)
    if (values === undefined) return undefined
    const place = placeOf(options)
    const recent = this.#recent.get(place)
    if (recent !== undefined && isSame(recent.values, values)) return recent.binding
    const binding = bindingOfValues(values, this.#key)
    const secureContext = recent?.binding === binding ? recent?.secureContext : undefined
    if (binding !== undefined && values.every(isPlain))
      this.#recent.set(place, { values: values.map(copyOf), binding, secureContext })
    return binding
  }
}

function placeOf({ host, port }: ConnectOptions): string {
  return `${host}:${port}`
}

/** What can be copied, and compared in full. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain)
  return typeof value !== 'object' || value === null || value instanceof Uint8Array
}

/** The owner may write into bytes and arrays later. */
function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf)
  return value instanceof Uint8Array ? new Uint8Array(value) : value
}

function isSame(kept: unknown, value: unknown): boolean {
  if (Array.isArray(kept))
    return (
      Array.isArray(value) &&
      kept.length === value.length &&
      kept.every((one, index) => isSame(one, value[index]))
    )
  if (kept instanceof Uint8Array) return value instanceof Uint8Array && Buffer.compare(kept, value) === 0
  return Object.is(kept, value)
}
