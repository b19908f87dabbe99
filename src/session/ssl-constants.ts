/** Protocol versions as in `ssl3.h` and `tls1.h`. */
export const TLS1_2_VERSION = 0x0303 as const
export const TLS1_3_VERSION = 0x0304 as const

/** The `SSL_OP_` bits on which the rules of the session cache depend, `SSL_CTX_set_options(3)`. */
export const SslOption: {
  /** RFC 7627 is not used. */
  readonly NO_EXTENDED_MASTER_SECRET: 0x00000001
  /** A transport that ends without close_notify counts as closed cleanly. */
  readonly IGNORE_UNEXPECTED_EOF: 0x00000080
  /** TLS 1.2: session ids instead of tickets. TLS 1.3: stateful tickets (R10.1). */
  readonly NO_TICKET: 0x00004000
  /** A renegotiation that the client began is always a full handshake. */
  readonly NO_SESSION_RESUMPTION_ON_RENEGOTIATION: 0x00010000
  /** TLS 1.3 clients send a random legacy session id, RFC 8446 §D.4. On by default. */
  readonly ENABLE_MIDDLEBOX_COMPAT: 0x00100000
  /** Early data does not make tickets stateful and single use. */
  readonly NO_ANTI_REPLAY: 0x01000000
} = {
  NO_EXTENDED_MASTER_SECRET: 0x00000001,
  IGNORE_UNEXPECTED_EOF: 0x00000080,
  NO_TICKET: 0x00004000,
  NO_SESSION_RESUMPTION_ON_RENEGOTIATION: 0x00010000,
  ENABLE_MIDDLEBOX_COMPAT: 0x00100000,
  NO_ANTI_REPLAY: 0x01000000,
}

/** The `SSL_VERIFY_` bits, `SSL_CTX_set_verify(3)`. */
export const VerifyMode: {
  readonly NONE: 0x00
  readonly PEER: 0x01
  readonly FAIL_IF_NO_PEER_CERT: 0x02
} = { NONE: 0x00, PEER: 0x01, FAIL_IF_NO_PEER_CERT: 0x02 }

/** RFC 9846 §6; only a fatal one costs the session its life (R5.2). */
export type AlertLevel = 'warning' | 'fatal'

/** Alert descriptions, RFC 9846 §6. */
export const Alert: {
  readonly CLOSE_NOTIFY: 0
  readonly HANDSHAKE_FAILURE: 40
  readonly ILLEGAL_PARAMETER: 47
  readonly DECODE_ERROR: 50
  readonly DECRYPT_ERROR: 51
  readonly PROTOCOL_VERSION: 70
  readonly INTERNAL_ERROR: 80
  readonly USER_CANCELED: 90
  readonly NO_RENEGOTIATION: 100
  readonly MISSING_EXTENSION: 109
  readonly UNSUPPORTED_EXTENSION: 110
} = {
  CLOSE_NOTIFY: 0,
  HANDSHAKE_FAILURE: 40,
  ILLEGAL_PARAMETER: 47,
  DECODE_ERROR: 50,
  DECRYPT_ERROR: 51,
  PROTOCOL_VERSION: 70,
  INTERNAL_ERROR: 80,
  USER_CANCELED: 90,
  NO_RENEGOTIATION: 100,
  MISSING_EXTENSION: 109,
  UNSUPPORTED_EXTENSION: 110,
}
