import { UnsupportedRuntimeError } from '../errors.ts'

/** What a runtime says of itself. */
interface Runtime {
  readonly versions: Readonly<Record<string, string | undefined>>
  readonly features: Readonly<Record<string, unknown>>
}

/**
 * node:tls of Bun and Deno emits neither newSession nor resumeSession, and BoringSSL, which Electron has, writes another
 * SSL_SESSION.
 *
 * @throws {@link UnsupportedRuntimeError}
 */
export function requireNode(runtime: Runtime = process as unknown as Runtime): void {
  const { versions, features } = runtime
  for (const [key, name, why] of OTHER_RUNTIMES)
    if (versions[key] !== undefined) throw new UnsupportedRuntimeError(name, why)
  const { openssl = 'none' } = versions
  if (features['openssl_is_boringssl'] === true || !/^(?:1\.1\.1|[3-9]\.)(?!.*BoringSSL)/i.test(openssl))
    throw new UnsupportedRuntimeError(
      `Node.js with another TLS library than OpenSSL (its version is ${openssl})`,
      'its SSL_SESSION has another encoding',
    )
}

const OTHER_RUNTIMES = [
  ['bun', 'Bun', 'its node:tls has no session events'],
  ['deno', 'Deno', 'its node:tls has no session events'],
  ['electron', 'Electron', 'it has BoringSSL, whose SSL_SESSION has another encoding'],
] as const

/**
 * Until nodejs/node#64677, a resumed TLS 1.3 connection whose client had shown no certificate was `authorized`. Nothing but
 * such a connection shows which Node it is, so this goes by version: true from the first ones seen to tell the truth.
 */
export function reportsAuthorizationTruly(version: string = process.versions.node): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 26 || (major === 26 && minor >= 10) || (major === 24 && minor >= 21)
}

/** The V8 of Node 22, which keeps the shapes of copies. */
const FIRST_TO_KEEP_SHAPES = 12
/** V8 remembers four for each place in a program. */
const SHAPES = 6
/** A function runs a few times before V8 remembers anything of it. */
const CALLS = 8

let isSettled = false

/**
 * Spares Node 20 what each `new net.Socket` costs its engine: 118,000 instructions for the two sockets of a connection.
 *
 * A socket copies its options (`{ ...options }`) and adds to them. Once V8 11 has seen options of two shapes there, it gives each copy a new
 * shape, so that the fifty loads of its properties are slow for ever. Once it has seen more than four, it copies them one by one, and the shapes
 * are shared again. So it is shown some, in sockets that nobody uses.
 *
 * @param v8 - the version of the engine
 * @returns false when there was nothing to do
 */
export function settleSocketShapes(v8: string = process.versions.v8): boolean {
  if (isSettled || !(Number.parseInt(v8, 10) < FIRST_TO_KEEP_SHAPES)) return false
  isSettled = true
  const { Socket } = process.getBuiltinModule('node:net')
  for (let call = 0; call < CALLS; call++)
    for (let length = 1; length <= SHAPES; length++) new Socket(shapeOf(length))
  return true
}

/** Names that no option has. */
function shapeOf(length: number): Record<string, undefined> {
  return Object.fromEntries(Array.from({ length }, (_, index) => [`sslctxShape${index}`, undefined]))
}
