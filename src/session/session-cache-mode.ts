/**
 * The bits of `SSL_CTX_set_session_cache_mode(3)` (R1.1). Combine them with `|`.
 *
 * OFF does not disable lookup, nor tickets (R1.5): it only stops what a finished handshake would store and report.
 *
 * @example
 * ```ts
 * const context = new SslContext({
 *   sessionIdContext: 'shop',
 *   sessionCacheMode: SessionCacheMode.SERVER | SessionCacheMode.NO_INTERNAL,
 *   ...storeCallbacks(sealed(openMyStore('shop'), new KeyRing([secret]))),
 * })
 * ```
 */
export const SessionCacheMode: {
  /** Finished handshakes store and report nothing. */
  readonly OFF: 0x0000
  /** Sessions of client connections are stored and reported. Never causes a client to look anything up. */
  readonly CLIENT: 0x0001
  /** Sessions of server connections are stored and reported. The default. */
  readonly SERVER: 0x0002
  /** CLIENT | SERVER. */
  readonly BOTH: 0x0003
  /** Switches off the flush that every 255 good connections of a role bring (R2.5). */
  readonly NO_AUTO_CLEAR: 0x0080
  /** Server lookups skip the internal cache and go to the get callback. */
  readonly NO_INTERNAL_LOOKUP: 0x0100
  /** Handshakes don't write the internal cache; `addSession` still does. */
  readonly NO_INTERNAL_STORE: 0x0200
  /** NO_INTERNAL_LOOKUP | NO_INTERNAL_STORE. */
  readonly NO_INTERNAL: 0x0300
  /** `addSession` sets the session's creation time to now (R1.6). */
  readonly UPDATE_TIME: 0x0400
} = {
  OFF: 0x0000,
  CLIENT: 0x0001,
  SERVER: 0x0002,
  BOTH: 0x0003,
  NO_AUTO_CLEAR: 0x0080,
  NO_INTERNAL_LOOKUP: 0x0100,
  NO_INTERNAL_STORE: 0x0200,
  NO_INTERNAL: 0x0300,
  UPDATE_TIME: 0x0400,
}
