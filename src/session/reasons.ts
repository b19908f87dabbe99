/**
 * Every reason of a handshake, once. The unions of reasons, the status page's words and its verdict, and `docs/reasons.md` follow
 * from this table, and from that of the sessions which are not kept.
 */

/** What is known of a reason of a handshake. */
export interface ReasonRow {
  /** How the handshake ended; `refused` is a full one, though the client had offered a session. */
  readonly kind: 'resumed' | 'full' | 'refused' | 'failed'
  /** Who gives the reason: the model, or the edge, which knows Node and its own rules. */
  readonly by: 'model' | 'edge'
  /** One sentence, in Markdown. */
  readonly means: string
  /** What to do, in Markdown: it goes on after "Do: ". */
  readonly todo: string
}

/** Why a handshake ended as it did. */
export const HANDSHAKE_REASONS = {
  // It resumed.
  internal: {
    kind: 'resumed',
    by: 'model',
    means: 'Resumed: the session was in the internal cache.',
    todo: 'nothing.',
  },
  external: {
    kind: 'resumed',
    by: 'model',
    means: 'Resumed: the get callback found the session, in the external cache.',
    todo: 'nothing.',
  },
  ticket: {
    kind: 'resumed',
    by: 'model',
    means:
      "Resumed by a stateless ticket: with the option `tickets` one that was judged; without it one of Node's own, which only a server has whose problem [tickets](errors.md#tickets) is tolerated.",
    todo: 'spread `serverOptions(context)`, when the latter is not meant.',
  },
  'external-psk': {
    kind: 'resumed',
    by: 'model',
    means: "Resumed by a pre-shared key of the server's `pskCallback`, which is no session.",
    todo: 'nothing.',
  },
  // It had nothing that could be found.
  'not-offered': {
    kind: 'full',
    by: 'model',
    means: 'The client offered no session: it is new, keeps none, or has none that is still good.',
    todo: 'nothing; for clients of your own, keep the session (`session` of `tls.connect`, or one `https.Agent` for all requests). If *doctor* resumes, the server is fine.',
  },
  'not-found': {
    kind: 'refused',
    by: 'model',
    means: 'Neither cache knows the session.',
    todo: 'one store for all processes; a larger `sessionCacheSize` or store; a longer `sessionTimeout`.',
  },
  'mode-without-server': {
    kind: 'refused',
    by: 'edge',
    means: 'As `not-found`, and the mode lacks `SERVER`: no session of this server is ever stored.',
    todo: 'set `SessionCacheMode.SERVER`.',
  },
  'no-lookup': {
    kind: 'refused',
    by: 'edge',
    means:
      'Nothing was read ahead, since nothing could be found: the mode has `NO_INTERNAL_LOOKUP`, and there is no get callback.',
    todo: 'give the context a store (`storeCallbacks`), or take the bit away.',
  },
  disabled: {
    kind: 'refused',
    by: 'edge',
    means: '`attachment.enabled` was false.',
    todo: 'set it to true.',
  },
  'stateless-ticket': {
    kind: 'refused',
    by: 'edge',
    means:
      'The client offered a ticket that is no session id: from before this server used sslctx, or of another server behind the same name.',
    todo: 'nothing, it passes; when it does not, find the server that still issues tickets.',
  },
  'ticket-unopenable': {
    kind: 'refused',
    by: 'edge',
    means:
      'No key opens what the client offered: its period is over, its secret was replaced, it is of another server or of before `tickets` was set, or it was altered.',
    todo: 'nothing, it passes; when it does not, compare secret, `sessionIdContext` and `periodMs` of all processes, and their clocks.',
  },
  'ticket-contested': {
    kind: 'refused',
    by: 'edge',
    means:
      'Another connection offered the same ticket at the same moment and was refused it, and libssl does not say which of them asks.',
    todo: 'nothing.',
  },
  // It was too late.
  expired: {
    kind: 'refused',
    by: 'model',
    means: 'The session was found, and its timeout has passed.',
    todo: 'a longer `sessionTimeout`, if clients come back later than that; NTP.',
  },
  'authentication-too-old': {
    kind: 'refused',
    by: 'edge',
    means:
      "More than `maxAuthenticationAgeSec` since the full handshake from which it descends through all its tickets, or the client's certificate chain has expired.",
    todo: 'nothing; or a longer `maxAuthenticationAgeSec` (7 days at most).',
  },
  'already-used': {
    kind: 'refused',
    by: 'edge',
    means: '`singleUse`, and this process has resumed the session before.',
    todo: 'nothing; or `singleUse: false`, when those clients matter more.',
  },
  // It belongs elsewhere.
  'server-name-mismatch': {
    kind: 'refused',
    by: 'edge',
    means: 'The session was made for another server name, or one of both was without SNI.',
    todo: 'nothing. If all your names are one service to all clients, `bindSessions: false` gives this up together with all other binding.',
  },
  'trust-changed': {
    kind: 'refused',
    by: 'edge',
    means:
      'Made under another `requestCert`, `rejectUnauthorized`, `ca`, `crl`, `ciphers`, version range, ALPN, other names in the certificate, or another answer of `policy`; or that changed while it was being looked up.',
    todo: 'nothing after a change that you made, it passes with the timeout. Otherwise the processes are not set up alike: compare these, and give `setSecureContext` all of them, not only `key` and `cert`.',
  },
  'session-id-context-mismatch': {
    kind: 'refused',
    by: 'model',
    means:
      'The `sessionIdContext` of the context is another than when the session was made, or one of both had `bindSessions: false`.',
    todo: 'the same of both in all processes.',
  },
  'unknown-format': {
    kind: 'refused',
    by: 'edge',
    means:
      'The session has no origin that this version can read: stored by another version of sslctx, or by another program.',
    todo: 'nothing after an update; otherwise a prefix, database or store of its own.',
  },
  // Trust forbids it.
  'policy-refused': {
    kind: 'refused',
    by: 'edge',
    means:
      '`policy` answered false, or with neither a string nor false, or threw or rejected; the last three also make a warning of the process.',
    todo: 'look for that warning.',
  },
  'policy-unknown': {
    kind: 'refused',
    by: 'edge',
    means:
      'Client certificates are requested, and for this name `SNICallback`, a `SecureContext` in `addContext`, or an `addContext` of before attaching chose who verifies them: nobody can see what.',
    todo: 'attach before `addContext`, and give it options, not a `SecureContext`; or say in `policy` what was chosen.',
  },
  'authorization-not-preserved': {
    kind: 'refused',
    by: 'edge',
    means: 'TLS 1.3, client certificates are requested, and this client showed none.',
    todo: 'a newer Node, or a server of its own for those who have certificates.',
  },
  unauthorized: {
    kind: 'refused',
    by: 'edge',
    means: "When the session was made the client's certificate did not verify, and here it must.",
    todo: 'nothing.',
  },
  'no-extended-master-secret': {
    kind: 'refused',
    by: 'edge',
    means:
      'A session of TLS 1.2 without the extended master secret (RFC 7627), whose owner need not be who it was made with.',
    todo: 'update the client; `requireExtendedMasterSecret: false` is for clients that cannot be updated, and without client certificates.',
  },
  revoked: {
    kind: 'refused',
    by: 'edge',
    means:
      'A mark of `revocations` ends it, or `authenticatedAfterMs`, or it was made before the store was found to have lost its marks.',
    todo: 'nothing; when it is all sessions at once and nobody called `revokeAll`, find out who flushed the store.',
  },
  'revocation-unknown': {
    kind: 'refused',
    by: 'edge',
    means:
      'The marks have not been refreshed for `maxStaleMs` (10 s): the store does not answer, or its client was not yet connected when `Revocations` was made.',
    todo: 'connect the client first, `await revocations.ready` before `listen`; then watch `revocations.stats.failedRefreshes` and `onError`.',
  },
  // It does not fit this handshake.
  'version-mismatch': {
    kind: 'refused',
    by: 'model',
    means: 'The session is of another version of TLS than this handshake.',
    todo: 'nothing.',
  },
  'cipher-hash-mismatch': {
    kind: 'refused',
    by: 'model',
    means:
      'TLS 1.3: the suite of this handshake has another hash than that of the session, since the client changed what it prefers.',
    todo: 'nothing.',
  },
  'extended-master-secret-added': {
    kind: 'refused',
    by: 'model',
    means: 'The session lacks the extended master secret, and the client now offers it (RFC 7627 §5.3).',
    todo: 'nothing.',
  },
  'psk-modes-unsupported': {
    kind: 'refused',
    by: 'model',
    means: 'TLS 1.3: the client offers its session without `psk_dhe_ke`, the only mode of Node.',
    todo: 'nothing.',
  },
  'hello-retry-request': {
    kind: 'refused',
    by: 'edge',
    means:
      'The client was asked for another key share, and this Node had given its session away with the first ClientHello.',
    todo: 'put the group that these clients offer first into `ecdhCurve`, or update Node.',
  },
  'node-disagreed': {
    kind: 'refused',
    by: 'edge',
    means: 'The model would have resumed, and Node did not; or they saw another version.',
    todo: 'tell us, with what `DEBUG=sslctx:*` says and `npx sslctx doctor --json` shows.',
  },
  // The external cache did not help.
  'lookup-timeout': {
    kind: 'refused',
    by: 'edge',
    means: 'Caches and `policy` took longer than `lookupTimeoutMs` (1 s).',
    todo: '`guarded(store)`, which answers within 250 ms one way or the other; see what is slow by `sslctx:store-call`.',
  },
  'callback-failed': {
    kind: 'refused',
    by: 'model',
    means:
      'The get callback threw, rejected, or answered with something that is no session: mostly a store that is down, slow, or behind an open breaker.',
    todo: 'the event `callback-error` has the [error](errors.md#err_session_store).',
  },
  unopenable: {
    kind: 'refused',
    by: 'model',
    means: 'The store holds something under this id that cannot be opened.',
    todo: 'see [ERR_SESSION_UNOPENABLE](errors.md#err_session_unopenable).',
  },
  'wrong-session': {
    kind: 'refused',
    by: 'model',
    means:
      'The get callback answered with a session of another id, or in TLS 1.3 of another version, which would break the handshake.',
    todo: 'mend the callback or the store that mixes up its keys.',
  },
  'not-resumable': {
    kind: 'refused',
    by: 'model',
    means: 'The get callback answered with a session that is flagged as not resumable.',
    todo: 'store no such sessions.',
  },
  // The ClientHello was no good.
  'stalled-hello': {
    kind: 'full',
    by: 'edge',
    means:
      'It was not whole within `readAheadMs` (10 s) and `handshakeTimeout`: a very slow client, or an attack that holds connections open.',
    todo: 'nothing.',
  },
  'oversized-hello': {
    kind: 'full',
    by: 'edge',
    means: 'It is beyond 128 KiB. Node decides.',
    todo: 'nothing.',
  },
  'unreadable-hello': {
    kind: 'full',
    by: 'edge',
    means: 'It begins like a ClientHello and is none, or offers more than 64 PSK identities.',
    todo: 'nothing.',
  },
  'not-tls': {
    kind: 'failed',
    by: 'edge',
    means: 'The first bytes are not TLS: plain HTTP, a port scanner, the PROXY protocol of a load balancer.',
    todo: 'for the last, take the PROXY header off before the connection reaches the server.',
  },
  'client-left': {
    kind: 'failed',
    by: 'edge',
    means: 'The client was gone before its ClientHello was there or before its lookup ended.',
    todo: 'nothing.',
  },
  'server-name-changed': {
    kind: 'failed',
    by: 'edge',
    means:
      'Asked for another key share, the client named another server (RFC 9846 §4.2.2, once RFC 8446 §4.1.2, forbids it), whose certificate and authorities were not those that were chosen.',
    todo: 'nothing.',
  },
  'ticket-unjudged': {
    kind: 'failed',
    by: 'edge',
    means:
      'After a HelloRetryRequest the client offered another ticket than before (RFC 9846 §4.2.2, once RFC 8446 §4.1.2, forbids it), which nobody had judged for it.',
    todo: 'nothing.',
  },
  'handshake-failed': {
    kind: 'failed',
    by: 'edge',
    means: 'The handshake was not completed.',
    todo: 'read `tlsClientError`.',
  },
  'unreadable-stream': {
    kind: 'full',
    by: 'edge',
    means: 'The connection is a stream of objects, or no Readable, so that it could not be read ahead.',
    todo: 'give the server a `net.Socket`, or a Duplex of bytes.',
  },
  // Of the model alone.
  declined: {
    kind: 'refused',
    by: 'model',
    means: '`examine` of the offer answered false.',
    todo: 'nothing.',
  },
  abandoned: {
    kind: 'refused',
    by: 'model',
    means: 'The connection ended, or another lookup began, while the get callback was being awaited.',
    todo: 'nothing.',
  },
  'ticket-undecryptable': {
    kind: 'refused',
    by: 'model',
    means: 'A ticket of an unknown key, or damaged; a stateful TLS 1.3 ticket that has not 32 bytes.',
    todo: 'share the ticket keys.',
  },
  renegotiation: {
    kind: 'refused',
    by: 'model',
    means: '`SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION`, and this is one.',
    todo: 'nothing.',
  },
  replayed: {
    kind: 'refused',
    by: 'model',
    means: 'Anti-replay, on with early data: the ticket was used before, or is not in this cache.',
    todo: 'nothing; or `SSL_OP_NO_ANTI_REPLAY` with a protection of your own.',
  },
  'session-id-context-uninitialized': {
    kind: 'failed',
    by: 'model',
    means:
      'Fatal, internal_error: the connection verifies its peer, and there is no session id context, so that nobody could tell sessions that were verified otherwise.',
    todo: 'set a `sessionIdContext`.',
  },
  'extended-master-secret-dropped': {
    kind: 'failed',
    by: 'model',
    means:
      'Fatal, handshake_failure: the session has the extended master secret, and the client does not offer it any more (RFC 7627 §5.3).',
    todo: 'mend the client.',
  },
  'cipher-not-offered': {
    kind: 'failed',
    by: 'model',
    means: 'Fatal, illegal_parameter: TLS 1.2, and the client no longer offers the suite of its session.',
    todo: 'mend the client.',
  },
  compression: {
    kind: 'failed',
    by: 'model',
    means: 'Fatal, handshake_failure: the session uses compression, which nobody has any more.',
    todo: 'nothing.',
  },
  'empty-psk-identity': {
    kind: 'failed',
    by: 'model',
    means: 'Fatal, decode_error: a PSK identity without a byte.',
    todo: 'mend the client.',
  },
  'binder-mismatch': {
    kind: 'failed',
    by: 'model',
    means: 'Fatal, decrypt_error: the client does not know the secret of the session.',
    todo: 'make sure that the store answers with the session that was stored under this id.',
  },
  'session-id-callback-failed': {
    kind: 'failed',
    by: 'model',
    means: 'Fatal, internal_error: `generateSessionId` gave nothing or threw, or no free id was found.',
    todo: 'mend the callback.',
  },
  'session-id-bad-length': {
    kind: 'failed',
    by: 'model',
    means:
      'Fatal, internal_error: `generateSessionId` gave 0 or more than 32 bytes; TLS 1.3 needs exactly 32.',
    todo: 'mend the callback.',
  },
  'session-id-conflict': {
    kind: 'failed',
    by: 'model',
    means: 'Fatal, internal_error: `generateSessionId` gave an id that is in the internal cache.',
    todo: 'make ids of random bytes.',
  },
} as const

type Rows = typeof HANDSHAKE_REASONS
type NamesWith<Part> = { [Name in keyof Rows]: Rows[Name] extends Part ? Name : never }[keyof Rows]

/** Where a resumed session came from. */
export type SessionSource = NamesWith<{ readonly kind: 'resumed' }>

/**
 * Why the model does not resume: every handshake that resumes nothing has exactly one of these. Those of the kind `failed` end
 * the handshake with the alert of the verdict; all others lead to a full handshake.
 */
export type RefusalReason = Exclude<NamesWith<{ readonly by: 'model' }>, SessionSource>

/** The reasons that the model does not know: rules of the edge, limits of Node, connections that came to nothing. */
export type EdgeReason = NamesWith<{ readonly by: 'edge' }>

/** What the model says, and the edge says more exactly. */
type ModelsAlone = 'declined' | 'abandoned' | 'ticket-undecryptable'

/**
 * Why a handshake of a Node server ended as it did, a closed union. A resumed one tells where the session came from, a full
 * or failed one has a reason of the model or of the edge.
 */
export type HandshakeReason = SessionSource | Exclude<RefusalReason, ModelsAlone> | EdgeReason
