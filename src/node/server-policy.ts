import { createHash, X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { TLS1_2_VERSION, TLS1_3_VERSION } from '../session/ssl-constants.ts'

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
  readonly ca?: Material
  readonly crl?: Material
  readonly cert?: Material
  readonly _sharedCreds: tls.SecureContext
  readonly _contexts?: readonly unknown[]
}

type Material = string | Uint8Array | readonly (string | Uint8Array)[] | undefined

/** The part of a server's options that a name can have of its own, by `addContext`. */
interface Identity {
  readonly ca?: Material
  readonly crl?: Material
  readonly cert?: Material
}

/** What decides whom a connection trusts and whom it may be taken for. */
export interface Policy {
  readonly digest: Buffer
  /** Node chose the certificate and its authorities in a way that nobody else can see. */
  readonly isOpaque: boolean
}

interface NamedPolicy extends Policy {
  readonly pattern: RegExp
}

/**
 * The policies of one server: a digest for each set of certificate and authorities that Node may choose by server name.
 * Immutable: a server that changes gets new ones, and a handshake sees at the end whether it is still under the same.
 */
export class ServerPolicies {
  readonly #server: TlsServer
  readonly #default: Policy
  readonly #named: readonly NamedPolicy[]
  readonly #hasSniCallback: boolean

  /** @param named - what `addContext` has set; what it set unseen, before, is opaque */
  constructor(server: TlsServer, named: readonly NamedPolicy[] = unseenContexts(server)) {
    this.#server = server
    this.#default = { digest: digestOf(server, server, server._sharedCreds), isOpaque: false }
    this.#named = named
    this.#hasSniCallback = hasSniCallback(server)
  }

  /** For `setSecureContext`, which leaves alone what `addContext` has set. */
  renewed(): ServerPolicies {
    return new ServerPolicies(this.#server, this.#named)
  }

  withContext(servername: string, context: tls.SecureContextOptions | tls.SecureContext): ServerPolicies {
    const isOpaque = isSecureContext(context)
    const digest = isOpaque
      ? digestOf(this.#server, {}, context)
      : digestOf(this.#server, context as Identity, undefined)
    return new ServerPolicies(this.#server, [
      ...this.#named,
      { digest, isOpaque, pattern: namePattern(servername) },
    ])
  }

  /** @param servername - exactly as the client sent it: Node compares it as it is, and the last match wins */
  of(servername: string | undefined): Policy {
    if (servername === undefined) return this.#default
    if (this.#hasSniCallback) return { ...this.#default, isOpaque: true }
    return this.#named.findLast(({ pattern }) => pattern.test(servername)) ?? this.#default
  }
}

function unseenContexts({ _contexts = [] }: TlsServer): readonly NamedPolicy[] {
  return _contexts.length === 0 ? [] : [{ digest: Buffer.alloc(0), isOpaque: true, pattern: /^/ }]
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

/** As Node's addContext understands a name. */
function namePattern(servername: string): RegExp {
  const parts = servername.split('*').map((part) => part.replace(/[.^$+?\-\\[\]{}]/g, '\\$&'))
  return new RegExp(`^${parts.join('[^.]*')}$`)
}

function digestOf(server: TlsServer, identity: Identity, credentials: tls.SecureContext | undefined): Buffer {
  const hash = createHash('sha256')
  const field = (value: string | Uint8Array): void => {
    const bytes = Buffer.from(value)
    hash.update(`${bytes.length}:`).update(bytes)
  }
  field(server.ciphers ?? tls.DEFAULT_CIPHERS)
  field(server.minVersion ?? tls.DEFAULT_MIN_VERSION)
  field(server.maxVersion ?? tls.DEFAULT_MAX_VERSION)
  field(server.secureProtocol ?? '')
  field(server.ALPNCallback === undefined ? (server.ALPNProtocols ?? '') : 'callback')
  for (const material of [identity.ca, identity.crl]) {
    const digests = listOf(material).map((one) => createHash('sha256').update(one).digest('hex'))
    field(digests.sort().join())
  }
  field(namesOf(identity, credentials))
  return hash.digest()
}

function listOf(material: Material): readonly (string | Uint8Array)[] {
  if (material === undefined) return []
  return typeof material === 'string' || material instanceof Uint8Array ? [material] : material
}

/** The names of the certificates, not their fingerprints: a renewed certificate keeps its sessions. */
function namesOf({ cert }: Identity, credentials: tls.SecureContext | undefined): string {
  const certificates = [...listOf(cert)]
  // Of a PKCS #12 file, and of what is already a SecureContext, only Node can tell.
  const known = (credentials?.context as { getCertificate?(): Buffer | null } | undefined)?.getCertificate?.()
  if (certificates.length === 0 && known) certificates.push(known)
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

const versionNumber = (name: string): number =>
  VERSIONS.find((one) => one.name === name)?.version ?? TLS1_3_VERSION

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
    return [
      versionNumber(minVersion ?? tls.DEFAULT_MIN_VERSION),
      versionNumber(maxVersion ?? tls.DEFAULT_MAX_VERSION),
    ]
  }
  // "TLSv1_2_server_method" is one version, "TLS_method" all of them, "SSLv23_method" those up to TLS 1.2.
  const [, minor] = /^TLSv1(?:_(\d))?_(?:server_|client_)?method$/.exec(secureProtocol) ?? [undefined, null]
  if (minor !== null) return [0x0301 + Number(minor ?? 0), 0x0301 + Number(minor ?? 0)]
  return [0x0301, secureProtocol.startsWith('TLS_') ? TLS1_3_VERSION : TLS1_2_VERSION]
}
