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
