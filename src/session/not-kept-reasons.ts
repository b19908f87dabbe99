/** Why a session that a handshake made is not kept: each reason once, for the same readers as the reasons of handshakes. */
export const NOT_KEPT_REASONS = {
  disabled: {
    means: '`attachment.enabled` was false',
    todo: 'set it to true',
  },
  renegotiation: {
    means: 'made in a renegotiation, where the other side may be somebody else (3SHAKE)',
    todo: 'nothing',
  },
  'no-extended-master-secret': {
    means: 'TLS 1.2 without RFC 7627',
    todo: 'as [above](#no-extended-master-secret)',
  },
  'psk-modes-unsupported': {
    means: 'TLS 1.3, and the client knows no `psk_dhe_ke`: it could never use it',
    todo: 'nothing',
  },
  'policy-unknown': {
    means: "nobody can see who verified the client's certificate",
    todo: 'as [above](#policy-unknown)',
  },
  'policy-refused': {
    means: '`policy` answered false, failed, or took longer than `lookupTimeoutMs`',
    todo: 'as [above](#policy-refused)',
  },
  'authorization-not-preserved': {
    means: 'no client certificate, and this Node would call it authorized next time',
    todo: 'as [above](#authorization-not-preserved)',
  },
  'authentication-too-old': {
    means: 'a new ticket for an authentication that has ended by now',
    todo: 'nothing',
  },
  'server-name-changed': {
    means: 'the connection is closed, see [above](#server-name-changed)',
    todo: 'nothing',
  },
  unauthorized: {
    means: "the client's certificate did not verify, and the connection is closed",
    todo: 'nothing',
  },
  'stateless-ticket': {
    means: 'tickets are on, so the session is in the ticket and nobody would ask for it',
    todo: 'spread `serverOptions(context)`',
  },
  'ticket-unproven': {
    means:
      'the ticket was made with the origin of another connection, so that the connection was closed and its client has none',
    todo: 'tell us: it was never seen',
  },
  declined: {
    means: '`shouldStore` answered false, or threw, which also makes a warning',
    todo: 'nothing',
  },
  'too-large': {
    means: "beyond Node's 10 KiB, mostly by the client's certificate, so that Node did not show it",
    todo: 'smaller client certificates',
  },
  unreadable: {
    means: 'not the DER of an SSL_SESSION: another libssl than is known here',
    todo: 'update sslctx',
  },
  'unread-hello': {
    means:
      'TLS 1.3, and the ClientHello was not read, so that nothing proves for which server name the session was made',
    todo: 'nothing; see the reason of the handshake',
  },
  'store-failed': {
    means: 'the external cache did not take it: the new callback threw or rejected',
    todo: 'the event `callback-error` has the [error](errors.md#err_session_store)',
  },
  'store-timeout': {
    means: 'the external cache had not taken it after `lookupTimeoutMs`; it may still do so',
    todo: 'as [above](#lookup-timeout)',
  },
} as const

/** Why a session that a handshake made is not kept, a closed union. */
export type NotKeptReason = keyof typeof NOT_KEPT_REASONS
