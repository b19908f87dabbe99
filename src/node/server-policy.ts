import type tls from 'node:tls'
import { nodeCrypto } from '../crypto.ts'
import { TLS1_2_VERSION, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { nodeTls } from './engine.ts'

/** A Node server as its own properties describe it; they are those of `createServer` and `setSecureContext`. */
export interface TlsServer extends tls.Server {
  readonly requestCert?: boolean
  readonly rejectUnauthorized?: boolean
  readonly ALPNProtocols?: Uint8Array
  readonly ALPNCallback?: unknown
  readonly sessionIdContext?: string
  readonly sessionTimeout?: number
  readonly secureOptions?: number
  readonly secureProtocol?: string
  readonly minVersion?: string
  readonly maxVersion?: string
  readonly ciphers?: string
  readonly allowPartialTrustChain?: boolean
  readonly ca?: Material
  readonly crl?: Material
  readonly cert?: Material
  readonly pfx?: Pkcs12
  readonly _sharedCreds: tls.SecureContext
  readonly _contexts?: readonly (readonly [RegExp, tls.SecureContext['context']])[]
}

type Pkcs12File = string | Uint8Array | { readonly buf: string | Uint8Array }

type Pkcs12 = Material | readonly Pkcs12File[]

type Material = string | Uint8Array | readonly (string | Uint8Array)[] | undefined

/** The part of a server's options that a name can have of its own, by `addContext`. */
interface Identity {
  readonly allowPartialTrustChain?: boolean
  readonly ca?: Material
  readonly crl?: Material
  readonly cert?: Material
  readonly pfx?: Pkcs12
}

/** What decides whom a connection trusts and whom it may be taken for. */
export interface Policy {
  readonly digest: Buffer
  /** Node chose the certificate and its authorities in a way that nobody else can see. */
  readonly isOpaque: boolean
}

/** What `addContext` has set for a name. */
interface NamedIdentity {
  readonly pattern: RegExp
  readonly digest: Buffer
  readonly isOpaque: boolean
}

/**
 * The policies of one server: a digest for each set of certificate and authorities that Node may choose by server name.
 * Immutable: a server that changes gets new ones, and a handshake sees at the end whether it is still under the same.
 */
export class ServerPolicies {
  readonly #server: TlsServer
  readonly #common: Buffer
  readonly #default: Policy
  readonly #named: readonly NamedIdentity[]
  readonly #policies: readonly { readonly pattern: RegExp; readonly policy: Policy }[]
  readonly #hasSniCallback: boolean

  /** @param named - what `addContext` has set; what it set unseen, before, is opaque */
  constructor(server: TlsServer, named: readonly NamedIdentity[] = unseenContexts(server)) {
    this.#server = server
    this.#common = commonDigest(server)
    this.#default = this.#policy({ digest: identityDigest(server, server._sharedCreds), isOpaque: false })
    this.#named = named
    this.#policies = named.map((identity) => ({ pattern: identity.pattern, policy: this.#policy(identity) }))
    this.#hasSniCallback = hasSniCallback(server)
  }

  /** For `setSecureContext`, which leaves alone what `addContext` has set. */
  renewed(): ServerPolicies {
    return new ServerPolicies(this.#server, this.#named)
  }

  /** @param context - what `addContext` was given just now */
  withContext(context: tls.SecureContextOptions | tls.SecureContext): ServerPolicies {
    const isOpaque = isSecureContext(context)
    const digest = isOpaque ? identityDigest({}, context) : identityDigest(context as Identity, undefined)
    // As this line of Node understands the name: some tell upper from lower case.
    const pattern = this.#server._contexts?.at(-1)?.[0]
    const added =
      pattern === undefined ? { pattern: /^/, digest, isOpaque: true } : { pattern, digest, isOpaque }
    return new ServerPolicies(this.#server, [...this.#named, added])
  }

  /** @param servername - exactly as the client sent it; the last match wins, as in Node */
  of(servername: string | undefined): Policy {
    if (servername === undefined) return this.#default
    if (this.#hasSniCallback) return { ...this.#default, isOpaque: true }
    return this.#policies.findLast(({ pattern }) => pattern.test(servername))?.policy ?? this.#default
  }

  #policy({ digest, isOpaque }: Policy): Policy {
    return {
      digest: nodeCrypto().createHash('sha256').update(this.#common).update(digest).digest(),
      isOpaque,
    }
  }
}

/** Of what `addContext` has set before, Node keeps the name and a context that shows its certificate, but no authorities. */
function unseenContexts({ _contexts = [] }: TlsServer): readonly NamedIdentity[] {
  return _contexts.map(([pattern, context]) => ({
    pattern,
    digest: identityDigest({}, { context }),
    isOpaque: true,
  }))
}

/** Node calls it for every full handshake, and never for a resumed one. */
function hasSniCallback(server: object): boolean {
  const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === 'snicallback')
  return key !== undefined && (server as { [key]?: unknown })[key] !== undefined
}

function isSecureContext(
  context: tls.SecureContextOptions | tls.SecureContext,
): context is tls.SecureContext {
  return 'context' in context
}

/** What a server has for all names. */
function commonDigest(server: TlsServer): Buffer {
  const tls = nodeTls()
  return digestOf([
    server.ciphers ?? tls.DEFAULT_CIPHERS,
    server.minVersion ?? tls.DEFAULT_MIN_VERSION,
    server.maxVersion ?? tls.DEFAULT_MAX_VERSION,
    server.secureProtocol ?? '',
    server.ALPNCallback === undefined ? (server.ALPNProtocols ?? '') : 'callback',
  ])
}

function identityDigest(identity: Identity, credentials: tls.SecureContext | undefined): Buffer {
  const { allowPartialTrustChain, ca, crl, pfx } = identity
  return digestOf([
    setDigest(listOf(ca)),
    setDigest(listOf(crl)),
    // Node trusts the certificates in a PKCS #12 file, and only their owner can tell which they are.
    setDigest(filesOf(pfx)),
    String(allowPartialTrustChain),
    namesOf(identity, credentials),
  ])
}

function setDigest(members: readonly (string | Uint8Array)[]): string {
  const digests = members.map((one) => nodeCrypto().createHash('sha256').update(one).digest('hex'))
  return digests.sort().join()
}

function digestOf(fields: readonly (string | Uint8Array)[]): Buffer {
  const hash = nodeCrypto().createHash('sha256')
  for (const field of fields) {
    const bytes = Buffer.from(field)
    hash.update(`${bytes.length}:`).update(bytes)
  }
  return hash.digest()
}

function listOf(material: Material): readonly (string | Uint8Array)[] {
  if (material === undefined) return []
  return typeof material === 'string' || material instanceof Uint8Array ? [material] : material
}

function filesOf(pfx: Pkcs12): readonly (string | Uint8Array)[] {
  const files = Array.isArray(pfx) ? (pfx as readonly Pkcs12File[]) : listOf(pfx as Material)
  return files.map((file) => (typeof file === 'object' && 'buf' in file ? file.buf : file))
}

/** The names of the certificates, not their fingerprints: a renewed certificate keeps its sessions. */
function namesOf({ cert }: Identity, credentials: tls.SecureContext | undefined): string {
  const certificates = [...listOf(cert)]
  // Of a PKCS #12 file, and of what is already a SecureContext, only Node can tell.
  const known = (credentials?.context as { getCertificate?(): Buffer | null } | undefined)?.getCertificate?.()
  if (certificates.length === 0 && known) certificates.push(known)
  const { X509Certificate } = nodeCrypto()
  const names = certificates.flatMap((one) => {
    const { subjectAltName, subject } = new X509Certificate(one)
    return (subjectAltName ?? subject).split(', ')
  })
  return [...new Set(names)].sort().join('\n')
}

const VERSIONS: readonly { readonly version: number; readonly name: string; readonly off: number }[] = [
  { version: TLS1_3_VERSION, name: 'TLSv1.3', off: 0x2000_0000 },
  { version: TLS1_2_VERSION, name: 'TLSv1.2', off: 0x0800_0000 },
  { version: 0x0302, name: 'TLSv1.1', off: 0x1000_0000 },
  { version: 0x0301, name: 'TLSv1', off: 0x0400_0000 },
]

/** Of a version as Node names it, in options and in `getProtocol()`. */
export function versionNumber(name: string): number | undefined {
  return VERSIONS.find((one) => one.name === name)?.version
}

/** A version that this table does not know is a later one; too low a guess would be dangerous, see negotiatedVersion. */
const bound = (name: string): number => versionNumber(name) ?? TLS1_3_VERSION

/** The versions that the server will speak, highest first: by `secureProtocol`, or by range, and SSL_OP_NO_TLSv1_x. */
export function serverVersions(server: TlsServer): readonly number[] {
  const [min, max] = versionRange(server)
  const options = server.secureOptions ?? 0
  return VERSIONS.filter(({ version, off }) => version >= min && version <= max && (options & off) === 0).map(
    ({ version }) => version,
  )
}

function versionRange({ secureProtocol, minVersion, maxVersion }: TlsServer): readonly [number, number] {
  if (secureProtocol === undefined || secureProtocol === '') {
    const { DEFAULT_MIN_VERSION, DEFAULT_MAX_VERSION } = nodeTls()
    return [bound(minVersion ?? DEFAULT_MIN_VERSION), bound(maxVersion ?? DEFAULT_MAX_VERSION)]
  }
  // "TLSv1_2_server_method" is one version, "TLS_method" all of them, "SSLv23_method" those up to TLS 1.2.
  const [, minor] = /^TLSv1(?:_(\d))?_(?:server_|client_)?method$/.exec(secureProtocol) ?? [undefined, null]
  if (minor !== null) return [0x0301 + Number(minor ?? 0), 0x0301 + Number(minor ?? 0)]
  return [0x0301, secureProtocol.startsWith('TLS_') ? TLS1_3_VERSION : TLS1_2_VERSION]
}
