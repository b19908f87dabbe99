import { constants } from 'node:crypto'
import tls from 'node:tls'
import type { ClientSettings, Method } from './probe.ts'

/** Everything that this libssl can, whatever has been said against it; for looking only. */
const ALL_CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_128_CCM_SHA256',
  'TLS_AES_128_CCM_8_SHA256',
  'ALL',
  'COMPLEMENTOFALL',
  '@SECLEVEL=0',
].join(':')

/** Which handshakes a context is for: `any` is the newest version that both know. */
export type ContextKind = Method | 'any'

const contexts = new WeakMap<ClientSettings, Map<string, tls.SecureContext>>()

/** One for all connections: making one takes as long as a handshake. */
export function secureContextOf(
  kind: ContextKind,
  settings: ClientSettings,
  isInsecure: boolean,
): tls.SecureContext {
  const known = contexts.get(settings) ?? new Map<string, tls.SecureContext>()
  contexts.set(settings, known)
  const key = `${kind} ${isInsecure}`
  const context = known.get(key) ?? makeContext(kind, settings, isInsecure)
  known.set(key, context)
  return context
}

function makeContext(kind: ContextKind, settings: ClientSettings, isInsecure: boolean): tls.SecureContext {
  const { ca, cert, key } = settings
  return tls.createSecureContext({
    ...versionsOf(kind, isInsecure),
    ...(isInsecure && { ciphers: ALL_CIPHERS }),
    secureOptions: optionsOf(kind, isInsecure),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  })
}

function versionsOf(
  kind: ContextKind,
  isInsecure: boolean,
): Required<Pick<tls.SecureContextOptions, 'minVersion' | 'maxVersion'>> {
  const minVersion = isInsecure ? 'TLSv1' : 'TLSv1.2'
  if (kind === 'any') return { minVersion, maxVersion: 'TLSv1.3' }
  return kind === 'tls13'
    ? { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' }
    : { minVersion, maxVersion: 'TLSv1.2' }
}

/** Session ids alone are what a client has that knows no tickets, SSL_CTX_set_options(3). */
function optionsOf(kind: ContextKind, isInsecure: boolean): number {
  return (
    (kind === 'tls12-id' ? constants.SSL_OP_NO_TICKET : 0) |
    (isInsecure ? constants.SSL_OP_LEGACY_SERVER_CONNECT : 0)
  )
}
