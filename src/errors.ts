/**
 * What this library throws on bad input. `code` is the contract and stays; a message is for people and may change.
 *
 * A message says what was looked at, the rule, and the size or kind of what was got. It never quotes the bytes: those of a
 * session are its master key.
 *
 * @example
 * ```ts
 * try {
 *   SslSession.fromPem('no session')
 * } catch (error) {
 *   if (error instanceof SessionCacheError) console.log(error.code)
 * }
 * ```
 */
export abstract class SessionCacheError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/**
 * The input is not the DER (X.690), or not the PEM (RFC 7468), of an SSL_SESSION.
 *
 * @example
 * ```ts
 * try {
 *   SslSession.fromDer(new Uint8Array([0x30, 0x03]))
 * } catch (error) {
 *   if (error instanceof SessionDerError) console.log(`wrong from byte ${error.offset} on`)
 * }
 * ```
 */
export class SessionDerError extends SessionCacheError {
  readonly code = 'ERR_SESSION_DER_INVALID'

  /** Where the first thing that is wrong begins: a byte of the DER, or a UTF-16 code unit of the PEM text. */
  readonly offset: number

  constructor(message: string, offset: number, options?: ErrorOptions) {
    super(`${message} (at offset ${offset})`, options)
    this.offset = offset
  }
}

/** The bytes are not a ClientHello (RFC 9846 §4.2.2, RFC 8446 §4.1.2, RFC 5246 §7.4.1.2). */
export class ClientHelloError extends SessionCacheError {
  readonly code = 'ERR_CLIENT_HELLO_INVALID'

  /** Where the first thing that is wrong begins: a byte of the handshake message, its header included. */
  readonly offset: number

  constructor(message: string, offset: number, options?: ErrorOptions) {
    super(`${message} (at offset ${offset})`, options)
    this.offset = offset
  }
}

/**
 * A value is outside of what its field can hold.
 *
 * @example
 * ```ts
 * try {
 *   new SslContext({ sessionTimeout: -1 })
 * } catch (error) {
 *   if (error instanceof SessionRangeError) console.log(error.message)
 * }
 * ```
 */
export class SessionRangeError extends SessionCacheError {
  readonly code = 'ERR_SESSION_OUT_OF_RANGE'
}

/**
 * An argument or option is of another kind than it must be, or an option does not exist. The message never quotes the value.
 *
 * @example
 * ```ts
 * try {
 *   new ServerSessions({ name: '' })
 * } catch (error) {
 *   if (error instanceof ArgumentError) console.log(error.message)
 * }
 * ```
 */
export class ArgumentError extends SessionCacheError {
  readonly code = 'ERR_ARGUMENT_INVALID'
}

/**
 * A method was called at a moment at which it makes no sense, such as `finishHandshake` without a handshake.
 *
 * @example
 * ```ts
 * const sessions = new ServerSessions({ name: 'shop' })
 * await sessions.close()
 * try {
 *   sessions.replaceSecrets([secret])
 * } catch (error) {
 *   if (error instanceof SessionStateError) console.log(error.message)
 * }
 * ```
 */
export class SessionStateError extends SessionCacheError {
  readonly code = 'ERR_SESSION_STATE'
}

/** The settings of a server under which `attachServer` could not do what it promises. */
export type SetupProblem =
  /** The session id context is the one that Node makes from `process.argv`. */
  | 'default-session-id-context'
  /** Without SSL_OP_NO_TICKET, clients resume with stateless tickets of Node and the cache is not asked. */
  | 'tickets'
  /** Somebody else listens to resumeSession, and two answers end a connection. */
  | 'resume-session-listener'
  /** A setting of the context that Node's libssl cannot be told. */
  | 'unsupported-setting'
  /** The server already has an attachment, of this or another copy of the library. */
  | 'already-attached'
  /** It is no tls, https or http2 server. */
  | 'not-a-tls-server'
  /** `waitForStore` in TLS 1.3, where this Node would lose data. */
  | 'wait-for-store'
  /** `setSecureContext` was asked to undo what `serverOptions` set. */
  | 'contradicting-options'

/**
 * A server cannot be attached as it is set up; the message says what to change.
 *
 * @example
 * ```ts
 * try {
 *   attachServer(https.createServer({ key, cert }), new SslContext({ sessionIdContext: 'shop' }))
 * } catch (error) {
 *   if (error instanceof ServerSetupError) console.log(error.problem, error.message)
 * }
 * ```
 */
export class ServerSetupError extends SessionCacheError {
  readonly code = 'ERR_SERVER_SETUP'
  readonly problem: SetupProblem

  constructor(problem: SetupProblem, message: string) {
    super(message)
    this.problem = problem
  }
}

/**
 * A client cannot be made on this Node, or as the process is set up; the message says what to do instead.
 *
 * @example
 * ```ts
 * try {
 *   new ClientSessions().dispatcher()
 * } catch (error) {
 *   if (error instanceof ClientSetupError) console.log(error.message)
 * }
 * ```
 */
export class ClientSetupError extends SessionCacheError {
  readonly code = 'ERR_CLIENT_SETUP'
}

/**
 * This runtime has no session events, or sessions of another kind.
 *
 * @example
 * ```ts
 * try {
 *   attachServer(server, context)
 * } catch (error) {
 *   if (error instanceof UnsupportedRuntimeError) console.log('sessions are as this runtime has them')
 * }
 * ```
 */
export class UnsupportedRuntimeError extends SessionCacheError {
  readonly code = 'ERR_RUNTIME_UNSUPPORTED'

  constructor(runtime: string, why: string) {
    super(`attachServer cannot work on ${runtime}: ${why}`)
  }
}

/**
 * An external cache failed; `cause` has the engine's own error. A miss is never an error.
 *
 * @example
 * ```ts
 * const store = guarded(openMyStore('shop'), { deadlineMs: 250 })
 * try {
 *   await store.get(new Uint8Array(32))
 * } catch (error) {
 *   if (error instanceof SessionStoreError) console.log(error.code, error.cause)
 * }
 * ```
 */
export class SessionStoreError extends SessionCacheError {
  readonly code:
    | 'ERR_SESSION_STORE'
    /** No answer in time. */
    | 'ERR_SESSION_STORE_TIMEOUT'
    /** Not asked, since it has failed, or since it would be too much. */
    | 'ERR_SESSION_STORE_UNAVAILABLE'
    /** A deletion that waited for the store has been given up: what was to be deleted may still be there. */
    | 'ERR_SESSION_STORE_DELETION_DROPPED'
    /** Single revocation marks are missing, or have been swapped: nothing of before resumes. */
    | 'ERR_SESSION_STORE_MARKS_MISSING'

  /** The engine works, and does not want to write: it is full, read-only, or forbids it. It goes on answering `get`. */
  readonly isRefusal: boolean

  constructor(
    message: string,
    options: ErrorOptions & { readonly code?: SessionStoreError['code']; readonly isRefusal?: boolean } = {},
  ) {
    super(message, options)
    this.code = options.code ?? 'ERR_SESSION_STORE'
    this.isRefusal = options.isRefusal ?? false
  }
}

/**
 * What an external cache holds under an id is not a session of ours: altered, swapped, sealed with an unknown key, foreign.
 *
 * @example
 * ```ts
 * const store = sealed(openMyStore('shop'), new KeyRing([secret]))
 * try {
 *   await store.get(new Uint8Array(32))
 * } catch (error) {
 *   if (error instanceof UnopenableSessionError) console.log('who else writes to this store?')
 * }
 * ```
 */
export class UnopenableSessionError extends SessionCacheError {
  readonly code = 'ERR_SESSION_UNOPENABLE'
}

/**
 * There is nowhere to leave a revocation that all processes would find, also after a restart.
 *
 * @example
 * ```ts
 * const sessions = new ServerSessions({ name: 'shop', secrets: [process.env['TLS_SECRET']] })
 * try {
 *   await sessions.revokeAll()
 * } catch (error) {
 *   if (error instanceof RevocationUnavailableError) sessions.replaceSecrets([secret])
 * }
 * ```
 */
export class RevocationUnavailableError extends SessionCacheError {
  readonly code = 'ERR_REVOCATION_UNAVAILABLE'
}

/**
 * A key that is too short, or not random. The message says which and why, never what it is.
 *
 * @example
 * ```ts
 * try {
 *   new KeyRing([new TextEncoder().encode('a password')])
 * } catch (error) {
 *   if (error instanceof WeakKeyError) console.log(error.message)
 * }
 * ```
 */
export class WeakKeyError extends SessionCacheError {
  readonly code = 'ERR_KEY_WEAK'
}

/**
 * `storeCallbacks` or `ClientSessions` got a store in which master secrets could be read or written by others.
 *
 * @example
 * ```ts
 * try {
 *   new ServerSessions({ name: 'shop', store: openMyStore('shop') })
 * } catch (error) {
 *   if (error instanceof UnsealedStoreError) console.log(error.message)
 * }
 * ```
 */
export class UnsealedStoreError extends SessionCacheError {
  readonly code = 'ERR_STORE_UNSEALED'
}
