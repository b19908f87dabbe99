import { createHook, executionAsyncResource } from 'node:async_hooks'
import { PassThrough } from 'node:stream'
import type tls from 'node:tls'
import { nodeCrypto } from '../crypto.ts'
import { UnsupportedRuntimeError } from '../errors.ts'

/** Loaded when it is first needed, as `node:crypto` is. */
export function nodeTls(): typeof tls {
  return process.getBuiltinModule('node:tls')
}

/**
 * Node's own object under a TLSSocket, as far as it is used here. It is private API: every use is behind a check that the
 * method is there, and costs no more than a full handshake where it is not.
 */
export interface TlsHandle {
  /** The session that libssl's next lookup gets, once. */
  loadSession(session: Buffer): void
  isSessionReused?(): boolean
  verifyError?(): unknown
  getServername?(): unknown
  getPeerCertificate?(detailed: boolean): PeerCertificate | undefined
  /** What it reads from and writes to: the socket that was accepted, or Node's wrapper around a stream. */
  readonly _parentWrap?: object & { readonly stream?: object }
}

/** A certificate with the one that issued it; the last one issues itself. */
interface PeerCertificate {
  readonly valid_to?: string
  readonly issuerCertificate?: PeerCertificate
}

function isTlsHandle(resource: object): resource is TlsHandle {
  return 'loadSession' in resource && typeof resource.loadSession === 'function'
}

export function tlsHandleOf(socket: tls.TLSSocket): TlsHandle | undefined {
  const { _handle: handle } = socket as { _handle?: object | null }
  return handle != null && isTlsHandle(handle) ? handle : undefined
}

/** In the listeners of newSession and resumeSession: the handle of their connection. */
export function currentTlsHandle(): TlsHandle | undefined {
  const resource = executionAsyncResource()
  return isTlsHandle(resource) ? resource : undefined
}

/** What the server's connection listener got, and made a TLSSocket with this handle of. */
export function connectionOf(handle: TlsHandle | undefined): object | undefined {
  const wrap = handle?._parentWrap
  return wrap?.stream ?? wrap
}

/** Runs `accept`, which makes one TLSSocket, and returns its handle. */
export function captureTlsHandle(accept: () => void): TlsHandle | undefined {
  let handle: TlsHandle | undefined
  const hook = createHook({
    init(_id, _type, _trigger, resource) {
      if (handle === undefined && isTlsHandle(resource)) handle = resource
    },
  })
  hook.enable()
  try {
    accept()
  } finally {
    hook.disable()
  }
  return handle
}

/** Node says false, null or undefined for a connection without one. */
export function servernameOf(servername: unknown): string | undefined {
  return typeof servername === 'string' ? servername : undefined
}

/**
 * Calls `look` when the handshake is complete, before Node looks at the peer's certificate: on some lines (24) that leaves
 * nothing of the chain behind but its leaf.
 */
export function beforeVerification(handle: TlsHandle, look: () => void): void {
  const { verifyError } = handle
  if (verifyError === undefined) return
  handle.verifyError = () => {
    look()
    return Reflect.apply(verifyError, handle, [])
  }
}

/**
 * The end of the first certificate of the peer's chain to expire, seconds since the epoch.
 *
 * @param leaf - the peer's own certificate, all that is known where the handle does not tell
 */
export function chainEndSec(handle: TlsHandle | undefined, leaf?: Uint8Array): number {
  const { X509Certificate } = nodeCrypto()
  let end =
    leaf === undefined
      ? Number.POSITIVE_INFINITY
      : Math.floor((Date.parse(new X509Certificate(leaf).validTo) || 0) / 1000)
  const seen = new Set<PeerCertificate>()
  let certificate = handle?.getPeerCertificate?.(true)
  while (certificate !== undefined && !seen.has(certificate)) {
    seen.add(certificate)
    const notAfterMs = Date.parse(certificate.valid_to ?? '')
    // What has no readable end has ended.
    if (certificate.valid_to !== undefined) end = Math.min(end, Math.floor((notAfterMs || 0) / 1000))
    certificate = certificate.issuerCertificate
  }
  return end
}

/**
 * node:tls of Bun and Deno emits neither newSession nor resumeSession, and BoringSSL writes another SSL_SESSION.
 *
 * @throws {@link UnsupportedRuntimeError}
 */
export function requireNode(versions: NodeJS.ProcessVersions = process.versions): void {
  if ('bun' in versions) throw new UnsupportedRuntimeError('Bun', 'its node:tls has no session events')
  if ('deno' in versions) throw new UnsupportedRuntimeError('Deno', 'its node:tls has no session events')
  if ((process.features as { openssl_is_boringssl?: boolean }).openssl_is_boringssl === true)
    throw new UnsupportedRuntimeError('Node.js with BoringSSL', 'its SSL_SESSION has another encoding')
}

/** What this line of Node can do, as probed on a TLSSocket that is never connected. */
export interface EngineFeatures {
  /**
   * The ClientHello reaches resumeSession also in several TLS records (from 26.8). The lines that cannot do that also lose
   * what a TLS 1.3 server writes and ends while newSession is unanswered.
   */
  readonly hasEarlyClientHello: boolean
}

let features: EngineFeatures | undefined

/** @param secureContext - any; one of its own would take tens of milliseconds to load the root certificates */
export function engineFeatures(secureContext: tls.SecureContext): EngineFeatures {
  if (features !== undefined) return features
  const { TLSSocket } = nodeTls()
  const socket = new TLSSocket(new PassThrough(), { isServer: true, secureContext })
  features = { hasEarlyClientHello: 'clientHelloDone' in (tlsHandleOf(socket) ?? {}) }
  socket.destroy()
  return features
}

/**
 * Until nodejs/node#64677, a resumed TLS 1.3 connection whose client had shown no certificate was `authorized`. Nothing but
 * such a connection shows which Node it is, so this goes by version: true from the first ones seen to tell the truth.
 */
export function reportsAuthorizationTruly(version: string = process.versions.node): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 26 || (major === 26 && minor >= 10) || (major === 24 && minor >= 21)
}
