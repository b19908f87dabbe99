import type { Hmac } from 'node:crypto'
import type tls from 'node:tls'
import { nodeCrypto } from '../crypto.ts'
import { nodeTls } from '../node/node-engine.ts'
import { defaultAuthorities } from '../node/trust-profile.ts'

/** What a client connects with: the options of `tls.connect`, those of later lines of Node included. */
export interface ConnectOptions extends tls.ConnectionOptions {
  readonly localAddress?: string | undefined
  readonly allowPartialTrustChain?: boolean | undefined
  readonly requestOCSP?: boolean | undefined
  readonly keepAlive?: boolean | undefined
  readonly keepAliveInitialDelay?: number | undefined
  readonly highWaterMark?: number | undefined
}

/** Bound: a session is offered under an equal value only. Opaque: with it nothing is kept. Or why it plays no part. */
type Part = 'bound' | 'opaque' | NotBound

interface NotBound {
  readonly notBound: string
  /** Node reads it when it makes a SecureContext. */
  readonly isOfContext?: true
}

const ADDRESS: Part = { notBound: 'how the server is reached; who it is, its certificate says' }
const OF_SERVERS: NotBound = { notBound: 'an option of servers, which changes nothing for a client' }
const FOR_TIME: Part = { notBound: 'how long or how fast, not whom' }
const OF_STREAM: Part = { notBound: 'how the caller reads and writes' }
const FULL_HANDSHAKE: Part = {
  notBound: 'shapes the messages of a full handshake, not what is verified',
  isOfContext: true,
}
const OF_SERVERS_CONTEXT: Part = { ...OF_SERVERS, isOfContext: true }

/**
 * Every option of `tls.connect` and `tls.createSecureContext` on Node 20 to 26, and whether a session is bound to it. A test
 * holds the table against what the lines of Node read.
 */
export const CLIENT_OPTIONS: Readonly<Record<string, Part>> = {
  host: 'bound',
  port: 'bound',
  path: 'bound',
  servername: 'bound',
  // Two addresses of one machine may be two customers of the server.
  localAddress: 'bound',
  ALPNProtocols: 'bound',
  minVersion: 'bound',
  maxVersion: 'bound',
  secureProtocol: 'bound',
  secureOptions: 'bound',
  ciphers: 'bound',
  ecdhCurve: 'bound',
  sigalgs: 'bound',
  minDHSize: 'bound',
  ca: 'bound',
  crl: 'bound',
  allowPartialTrustChain: 'bound',
  cert: 'bound',
  key: 'bound',
  passphrase: 'bound',
  pfx: 'bound',
  rejectUnauthorized: 'bound',
  sessionIdContext: 'bound',
  // Nobody outside can say what these verify, or who the client is with them.
  checkServerIdentity: 'opaque',
  secureContext: 'opaque',
  pskCallback: 'opaque',
  privateKeyEngine: 'opaque',
  privateKeyIdentifier: 'opaque',
  clientCertEngine: 'opaque',
  // A resumed handshake has no stapled response, for which such a caller waits.
  requestOCSP: 'opaque',
  session: { notBound: 'a session of the caller: it is offered as it is' },
  socket: { notBound: 'the way to the server; without host or servername nothing is kept' },
  lookup: ADDRESS,
  family: ADDRESS,
  hints: ADDRESS,
  localPort: ADDRESS,
  autoSelectFamily: ADDRESS,
  autoSelectFamilyAttemptTimeout: ADDRESS,
  blockList: ADDRESS,
  timeout: FOR_TIME,
  signal: FOR_TIME,
  keepAlive: FOR_TIME,
  keepAliveInitialDelay: FOR_TIME,
  noDelay: FOR_TIME,
  sessionTimeout: { notBound: 'the lifetime that libssl writes into the session', isOfContext: true },
  allowHalfOpen: OF_STREAM,
  highWaterMark: OF_STREAM,
  onread: OF_STREAM,
  enableTrace: OF_STREAM,
  singleUse: OF_STREAM,
  pipe: OF_STREAM,
  certificateCompression: FULL_HANDSHAKE,
  honorCipherOrder: OF_SERVERS_CONTEXT,
  dhparam: OF_SERVERS_CONTEXT,
  ticketKeys: OF_SERVERS_CONTEXT,
  handshakeTimeout: OF_SERVERS,
  requestCert: OF_SERVERS,
  pskIdentityHint: OF_SERVERS,
  isServer: OF_SERVERS,
  server: OF_SERVERS,
  SNICallback: OF_SERVERS,
  ALPNCallback: OF_SERVERS,
  credentials: { notBound: 'the name of secureContext inside of Node' },
}

const BOUND = Object.keys(CLIENT_OPTIONS).filter((name) => CLIENT_OPTIONS[name] === 'bound')
const OPAQUE = Object.keys(CLIENT_OPTIONS).filter((name) => CLIENT_OPTIONS[name] === 'opaque')

const OF_CONTEXT = Object.keys(CLIENT_OPTIONS).filter((name) => {
  const { [name]: part } = CLIENT_OPTIONS
  return typeof part === 'object' && part.isOfContext
})

type Given = Readonly<Record<string, unknown>>

/** Whether there is an option to which no session is bound, and which a SecureContext is made of all the same. */
export function hasContextOptions(options: ConnectOptions): boolean {
  return OF_CONTEXT.some((name) => name in options)
}

/** Node's functions that decide who is trusted, as they are when it is first asked. */
let ofNode: readonly unknown[] | undefined

/** Nobody can say what is verified when somebody puts a function of his own in the place of one of Node's, for the whole process. */
export function isNodeAsItWas(): boolean {
  const { checkServerIdentity, createSecureContext } = nodeTls()
  ofNode ??= [checkServerIdentity, createSecureContext]
  return checkServerIdentity === ofNode[0] && createSecureContext === ofNode[1]
}

/**
 * The name of everything that a connection with these options verifies and is. A keyed hash, since private keys and their
 * passphrases are in it.
 *
 * @param options - as `tls.connect` takes them, without prototype
 * @param key - of the HMAC, 32 bytes
 * @returns undefined where nobody can say what is verified
 */
export function bindingOf(options: ConnectOptions, key: Uint8Array): string | undefined {
  const values = boundValues(options)
  return values && bindingOfValues(values, key)
}

/** @returns what a session is bound to, in a fixed order; undefined as of {@link bindingOf} */
export function boundValues(options: ConnectOptions): readonly unknown[] | undefined {
  const given = options as Given
  if (!isNodeAsItWas() || OPAQUE.some((name) => isOpaque(name, given[name]))) return undefined
  if (given['socket'] && !given['servername'] && !given['host']) return undefined
  return BOUND.map((name) => effective(name, given))
}

export function bindingOfValues(values: readonly unknown[], key: Uint8Array): string | undefined {
  const text = new BoundText(nodeCrypto().createHmac('sha256', key))
  for (const [index, value] of values.entries()) {
    text.add(`${BOUND[index]}=`)
    if (!feed(text, value)) return undefined
  }
  return text.digest()
}

/** Strings on their way into a hash: a call of it costs more than all that most options have in them. */
class BoundText {
  readonly #hash: Hmac
  #pending = ''

  constructor(hash: Hmac) {
    this.#hash = hash
  }

  add(text: string): void {
    this.#pending += text
  }

  addBytes(bytes: Uint8Array): void {
    this.#hash.update(this.#pending).update(bytes)
    this.#pending = ''
  }

  digest(): string {
    return this.#hash.update(this.#pending).digest('base64url')
  }
}

function isOpaque(name: string, value: unknown): boolean {
  if (name === 'checkServerIdentity') return value !== undefined && value !== nodeTls().checkServerIdentity
  return Boolean(value)
}

/** What Node takes where an option is not given, at this moment. */
const DEFAULTS: Readonly<Record<string, () => unknown>> = {
  host: () => 'localhost',
  ca: defaultAuthorities,
  ciphers: () => nodeTls().DEFAULT_CIPHERS,
  minVersion: () => nodeTls().DEFAULT_MIN_VERSION,
  maxVersion: () => nodeTls().DEFAULT_MAX_VERSION,
  ecdhCurve: () => nodeTls().DEFAULT_ECDH_CURVE,
}

function effective(name: string, given: Given): unknown {
  const { [name]: value } = given
  // Not given, and given as undefined, are two things to Node.
  if (name === 'rejectUnauthorized')
    return name in given ? value !== false : process.env['NODE_TLS_REJECT_UNAUTHORIZED'] !== '0'
  if (name === 'port') return value === undefined ? value : Number(value)
  const { [name]: orElse = noDefault } = DEFAULTS
  // https.Agent gives a path of null, and for addresses a name of no letters: to Node all that is nothing.
  return value || orElse() || undefined
}

function noDefault(): undefined {
  return undefined
}

/**
 * Every value has one way to be written, and no two values the same.
 *
 * @returns false for what cannot be written: a function, an object of a class
 */
function feed(text: BoundText, value: unknown): boolean {
  if (typeof value === 'string') text.add(`s${Buffer.byteLength(value)}:${value}`)
  else if (typeof value === 'object' && value !== null) return feedObject(text, value)
  else if (typeof value === 'function' || typeof value === 'symbol') return false
  else text.add(`${typeof value}:${value};`)
  return true
}

function feedObject(text: BoundText, value: object): boolean {
  if (Array.isArray(value)) return feedArray(text, value)
  if (!ArrayBuffer.isView(value)) return feedPlainObject(text, value)
  text.add(`s${value.byteLength}:`)
  text.addBytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
  return true
}

/** Not by `every`, which leaves out what is empty. */
function feedArray(text: BoundText, value: readonly unknown[]): boolean {
  text.add(`a${value.length}:`)
  for (const one of value) if (!feed(text, one)) return false
  return true
}

function feedPlainObject(text: BoundText, value: object): boolean {
  const { getPrototypeOf, prototype, getOwnPropertyDescriptors } = Object
  if (getPrototypeOf(value) !== prototype && getPrototypeOf(value) !== null) return false
  // What is read anew each time may be another value the next time.
  if (Object.values(getOwnPropertyDescriptors(value)).some(({ get }) => get !== undefined)) return false
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1))
  text.add(`o${entries.length}:`)
  return entries.every(([name, member]) => feed(text, name) && feed(text, member))
}
