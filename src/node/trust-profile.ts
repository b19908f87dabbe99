import { readFileSync } from 'node:fs'
import type tls from 'node:tls'
import { LRUCache } from 'lru-cache'
import { nodeCrypto } from '../crypto.ts'
import { certificateOf, hasSniCallback, nodeTls, type TlsServer } from './node-engine.ts'

type Pkcs12File = Bytes | { readonly buf: Bytes }

type Pkcs12 = Material | readonly Pkcs12File[]

/** What is false in any way, Node takes for nothing. */
type Material = string | NodeJS.ArrayBufferView | readonly (string | NodeJS.ArrayBufferView)[] | undefined
type Bytes = string | NodeJS.ArrayBufferView

/** What one name is told by, and whether nobody can tell whom it trusts. */
interface Told {
  readonly digest: Buffer
  readonly isOpaque: boolean
}

/** The part of a server's options that a name can have of its own, by `addContext`. */
interface Identity {
  readonly allowPartialTrustChain?: boolean
  readonly ca?: Material
  readonly crl?: Material
  readonly cert?: Material
  readonly pfx?: Pkcs12
}

/** What decides whom a connection trusts and whom it may be taken for. */
export interface TrustProfile {
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  /** 32 bytes: of everything below. */
  readonly digest: Buffer
  /** Node chooses the certificate and its authorities in a way that nobody else can see. */
  readonly isOpaque: boolean
}

/** The trust profiles of one moment. */
export interface TrustSnapshot {
  /** @returns undefined when the server has changed since */
  of(serverName: string | undefined): TrustProfile | undefined
}

/** The option is in the digest of the whole server, or of each identity; or why it is in none. */
type Part = 'server' | 'identity' | { readonly notInDigest: string }

const IS_COMPARED: Part = { notInDigest: 'compared as it is, beside the digest' }
const MAKES_A_NAME: Part = {
  notInDigest: 'the names in the certificate are; a renewed certificate keeps its sessions',
}
const ONLY_A_KEY: Part = { notInDigest: 'proves who the server is, and decides nothing about the client' }
const FULL_HANDSHAKE: Part = { notInDigest: 'shapes a full handshake; what it led to is in the session' }
const FOR_TIME: Part = { notInDigest: 'how long or how fast, not whom' }
const OWN_RULE: Part = { notInDigest: 'a rule about sessions of its own: see server-setup' }
const SELECTS: Part = { notInDigest: 'with it no profile can be told from outside, so that it is opaque' }

/**
 * Every option of `tls.createServer` and `tls.createSecureContext` on Node 20 to 26, and whether a session is bound to it. A
 * test holds the table against what the lines of Node take.
 */
export const TRUST_OPTIONS: Readonly<Record<string, Part>> = {
  allowPartialTrustChain: 'identity',
  ca: 'identity',
  crl: 'identity',
  pfx: 'identity',
  cert: MAKES_A_NAME,
  ciphers: 'server',
  minVersion: 'server',
  maxVersion: 'server',
  secureProtocol: 'server',
  ALPNProtocols: 'server',
  ALPNCallback: 'server',
  sigalgs: 'server',
  requestCert: IS_COMPARED,
  rejectUnauthorized: IS_COMPARED,
  sessionIdContext: { notInDigest: "the context's own session id context is in every binding" },
  SNICallback: SELECTS,
  key: ONLY_A_KEY,
  passphrase: ONLY_A_KEY,
  privateKeyIdentifier: ONLY_A_KEY,
  privateKeyEngine: ONLY_A_KEY,
  clientCertEngine: { notInDigest: 'an engine of the client side, which a server only hands to OpenSSL' },
  certificateCompression: FULL_HANDSHAKE,
  dhparam: FULL_HANDSHAKE,
  ecdhCurve: FULL_HANDSHAKE,
  honorCipherOrder: FULL_HANDSHAKE,
  pskCallback: { notInDigest: 'an external PSK is no session, and is asked for in every handshake' },
  pskIdentityHint: FULL_HANDSHAKE,
  singleUse: { notInDigest: 'of clients: whether a SecureContext ends with its connection' },
  requestOCSP: { notInDigest: 'an option of clients' },
  secureOptions: OWN_RULE,
  ticketKeys: OWN_RULE,
  sessionTimeout: OWN_RULE,
  handshakeTimeout: FOR_TIME,
  enableTrace: FOR_TIME,
  allowHalfOpen: FOR_TIME,
  pauseOnConnect: FOR_TIME,
  noDelay: FOR_TIME,
  keepAlive: FOR_TIME,
  keepAliveInitialDelay: FOR_TIME,
  highWaterMark: FOR_TIME,
}

/** What `addContext` has set for a name. */
interface NamedIdentity extends Told {
  readonly pattern: RegExp
}

/** Names come from clients. */
const MAX_KNOWN_NAMES = 1000

/**
 * The trust profiles of one server: one for each set of certificate and authorities that Node may choose by server name. They
 * change with `setSecureContext` and `addContext`, so a handshake asks at its beginning, and again when Node takes it.
 */
export class TrustProfiles {
  readonly #server: TlsServer
  readonly #named: NamedIdentity[]
  #common: Buffer
  #default: Told
  #hasSniCallback: boolean
  /** What the latest names led to: looking for one takes as long as there are contexts. */
  readonly #known = new LRUCache<string, TrustProfile>({ max: MAX_KNOWN_NAMES })
  #nameless: TrustProfile | undefined
  /** A connection asks several times in a row. */
  #latest: { readonly serverName: string | undefined; readonly profile: TrustProfile } | undefined
  /** Changes with what `setSecureContext` and `addContext` do. */
  #version = 0

  /** What `addContext` has set before, unseen, is opaque. */
  constructor(server: TlsServer) {
    this.#server = server
    this.#named = unseenContexts(server)
    this.#common = commonDigest(server)
    this.#default = identityOf(server as Identity, server._sharedCreds, isVerifying(server))
    this.#hasSniCallback = hasSniCallback(server)
  }

  /** After `setSecureContext`, which leaves alone what `addContext` has set. */
  renew(): void {
    this.#common = commonDigest(this.#server)
    this.#default = identityOf(this.#server as Identity, this.#server._sharedCreds, isVerifying(this.#server))
    this.#hasSniCallback = hasSniCallback(this.#server)
    this.#forget()
  }

  /** @param context - what `addContext` was given just now */
  addContext(context: tls.SecureContextOptions | tls.SecureContext): void {
    const told = isSecureContext(context)
      ? { ...identityOf({}, context, false), isOpaque: true }
      : identityOf(context as Identity, undefined, isVerifying(this.#server))
    // As this line of Node understands the name: some tell upper from lower case.
    const pattern = this.#server._contexts?.at(-1)?.[0]
    this.#named.push(pattern === undefined ? { ...told, pattern: /^/, isOpaque: true } : { ...told, pattern })
    this.#forget()
  }

  /** @param serverName - exactly as the client sent it; the last match wins, as in Node */
  of(serverName: string | undefined): TrustProfile {
    const latest = this.#latest
    const isLatest = latest !== undefined && latest.serverName === serverName
    if (isLatest && this.#isCurrent(latest.profile)) return latest.profile
    const profile = this.#ofKnown(serverName)
    this.#latest = { serverName, profile }
    return profile
  }

  #ofKnown(serverName: string | undefined): TrustProfile {
    const known = serverName === undefined ? this.#nameless : this.#known.get(serverName)
    if (known !== undefined && this.#isCurrent(known)) return known
    const profile = this.#find(serverName)
    if (serverName === undefined) this.#nameless = profile
    else this.#known.set(serverName, profile)
    return profile
  }

  /** These two are plain properties of the server, which its owner may set at any time. */
  #isCurrent({ requestCert, rejectUnauthorized }: TrustProfile): boolean {
    const { requestCert: requests, rejectUnauthorized: rejects } = this.#server
    return requestCert === (requests === true) && rejectUnauthorized === (rejects !== false)
  }

  #find(serverName: string | undefined): TrustProfile {
    // Node looks for no context without a name, and takes an empty one for none.
    const isNamed = serverName !== undefined && serverName !== ''
    if (isNamed && this.#hasSniCallback) return this.#profile(this.#default, true)
    const named = isNamed ? this.#named.findLast(({ pattern }) => pattern.test(serverName)) : undefined
    return this.#profile(named ?? this.#default, false)
  }

  /** What {@link of} says now, for a connection that Node takes before its server name is known. */
  snapshot(): TrustSnapshot {
    const version = this.#version
    const anonymous = this.of(undefined)
    return {
      of: (serverName) =>
        version === this.#version && this.#isCurrent(anonymous) ? this.of(serverName) : undefined,
    }
  }

  #profile({ digest, isOpaque }: Told, isChosenUnseen: boolean): TrustProfile {
    const { requestCert, rejectUnauthorized } = this.#server
    return {
      requestCert: requestCert === true,
      rejectUnauthorized: rejectUnauthorized !== false,
      digest: nodeCrypto().createHash('sha256').update(this.#common).update(digest).digest(),
      isOpaque: isOpaque || isChosenUnseen,
    }
  }

  #forget(): void {
    this.#version++
    this.#known.clear()
    this.#nameless = undefined
    this.#latest = undefined
  }
}

export function isSameProfile(one: TrustProfile, other: TrustProfile): boolean {
  return (
    one === other ||
    (one.requestCert === other.requestCert &&
      one.rejectUnauthorized === other.rejectUnauthorized &&
      one.digest.equals(other.digest))
  )
}

/** Node keeps the name and a context that shows its certificate, but no authorities. */
function unseenContexts({ _contexts = [] }: TlsServer): NamedIdentity[] {
  return _contexts.map(([pattern, context]) => ({
    pattern,
    ...identityOf({}, { context }, false),
    isOpaque: true,
  }))
}

function isVerifying({ requestCert }: TlsServer): boolean {
  return requestCert === true
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
    server.sigalgs ?? '',
    server.ALPNCallback === undefined ? (server.ALPNProtocols ?? '') : 'callback',
  ])
}

/** Node may understand what cannot be read here: nobody can tell then. It is never the same as anything else. */
function identityOf(identity: Identity, credentials: tls.SecureContext | undefined, verifies: boolean): Told {
  try {
    return { digest: identityDigest(identity, credentials, verifies), isOpaque: false }
  } catch {
    return { digest: nodeCrypto().randomBytes(32), isOpaque: true }
  }
}

/** @param verifies - client certificates are requested, so that it matters who vouches for them */
function identityDigest(
  identity: Identity,
  credentials: tls.SecureContext | undefined,
  verifies: boolean,
): Buffer {
  const { allowPartialTrustChain, ca, crl, pfx } = identity
  return digestOf([
    // An empty list trusts nobody; without one Node has authorities of its own.
    isEmptyList(ca) ? 'none' : setDigest(listOf(ca)),
    setDigest(listOf(crl)),
    // Node trusts the certificates in a PKCS #12 file, and only their owner can tell which they are.
    setDigest(filesOf(pfx)),
    String(allowPartialTrustChain),
    namesOf(identity, credentials),
    ...(verifies && !ca ? defaultAuthorities() : []),
  ])
}

/** @returns what Node trusts where no `ca` says whom, at this moment: contexts made now have it */
export function defaultAuthorities(): readonly string[] {
  const { getCACertificates, rootCertificates } = nodeTls() as typeof tls & {
    getCACertificates?(type: 'default'): readonly string[]
  }
  if (getCACertificates !== undefined) return ['default', rootsDigest(getCACertificates('default'))]
  // Node 20 does not tell: its bundled roots, what is added to them, and the flags that take others in their place.
  const { NODE_EXTRA_CA_CERTS, NODE_OPTIONS = '', SSL_CERT_DIR = '', SSL_CERT_FILE = '' } = process.env
  const flags = [...process.execArgv, ...NODE_OPTIONS.split(/\s+/)].filter((flag) =>
    /^--use-.*-ca$/.test(flag),
  )
  return [
    'default',
    rootsDigest(rootCertificates),
    setDigest(NODE_EXTRA_CA_CERTS === undefined ? [] : [contentOf(NODE_EXTRA_CA_CERTS)]),
    ...(flags.length > 0 ? [setDigest(flags), SSL_CERT_DIR, SSL_CERT_FILE] : []),
  ]
}

/** Hashing hundreds of certificates takes a millisecond, and they are the same for context after context. */
let latestRoots: { readonly roots: readonly string[]; readonly digest: string } | undefined

function rootsDigest(roots: readonly string[]): string {
  const isSame =
    latestRoots?.roots.length === roots.length &&
    latestRoots.roots.every((root, index) => root === roots[index])
  if (latestRoots === undefined || !isSame) latestRoots = { roots: [...roots], digest: setDigest(roots) }
  return latestRoots.digest
}

/** What cannot be read is told by its name: Node has ignored it as well. */
function contentOf(file: string): string | Uint8Array {
  try {
    return readFileSync(file)
  } catch {
    return file
  }
}

function isEmptyList(material: Material): boolean {
  return Array.isArray(material) && material.length === 0
}

function setDigest(members: readonly Bytes[]): string {
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

function listOf(material: Material): readonly Bytes[] {
  if (!material) return []
  return typeof material === 'string' || ArrayBuffer.isView(material) ? [material] : material
}

function filesOf(pfx: Pkcs12): readonly Bytes[] {
  const files = Array.isArray(pfx) ? (pfx as readonly Pkcs12File[]) : listOf(pfx as Material)
  return files.map((file) => (typeof file === 'object' && 'buf' in file ? file.buf : file))
}

/** The names of the certificates, not their fingerprints: a renewed certificate keeps its sessions. */
function namesOf({ cert }: Identity, credentials: tls.SecureContext | undefined): string {
  const certificates = [...listOf(cert)]
  // The certificate of a PKCS #12 file, or of what is already a SecureContext, only Node can tell.
  const known = certificateOf(credentials)
  if (certificates.length === 0 && known !== undefined) certificates.push(known)
  const { X509Certificate } = nodeCrypto()
  const names = certificates.flatMap((one) => {
    const { subjectAltName, subject } = new X509Certificate(one as string | Uint8Array)
    return (subjectAltName ?? subject).split(', ')
  })
  return [...new Set(names)].sort().join('\n')
}
