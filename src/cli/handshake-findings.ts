import { connectionFinding } from './connection-findings.ts'
import type { ClientFacts, EndpointFacts, MethodFacts } from './examination-facts.ts'
import type { Failure } from './failure.ts'
import { type Finding, type FindingId, versionName } from './findings.ts'
import type { Method } from './probe.ts'

const TLS1_2 = 0x0303
const VERSIONS: ReadonlyMap<number, string> = new Map([
  [0x0300, 'SSL 3.0'],
  [0x0301, 'TLS 1.0'],
  [0x0302, 'TLS 1.1'],
])

type Said = Pick<Finding, 'what' | 'reasons' | 'remedies'> & { readonly id: FindingId }

/** Why no handshake at all succeeds at an endpoint. */
export function noHandshakeFinding(
  { endpoint, wide }: EndpointFacts,
  failures: readonly Failure[],
  client: ClientFacts,
): Finding {
  const looked = wide?.failure
  const failure =
    [...failures, ...(looked ? [looked] : [])].find(({ wantsCertificate }) => wantsCertificate) ??
    (looked?.kind === 'alert' ? looked : undefined) ??
    failures.findLast(({ kind }) => kind === 'alert') ??
    failures[0]
  // That one version is switched off says less than why the other fails.
  const inVersion = failures.find(({ alert }) => alert !== 'protocol_version') ?? failure
  const said =
    wide?.protocol === undefined
      ? saidOf(failure, endpoint, client)
      : looksInsecure(wide, inVersion, endpoint)
  return { severity: 'problem', endpoint, ...said }
}

/** Most clients offer both. */
export function bothRefusedFinding(endpoint: string, failure: Failure, client: ClientFacts): Finding {
  if (failure.wantsCertificate)
    return { severity: 'problem', endpoint, ...certificateWanted(failure, endpoint, client) }
  return {
    id: 'both-versions-refused',
    severity: 'problem',
    endpoint,
    what: `${endpoint} fails with clients that offer TLS 1.2 and 1.3, as nearly all do (${codeText(failure)}); with one of them alone it succeeds.`,
    reasons: [
      'The server chooses TLS 1.3, and cannot go on: the key of its certificate is too short or of a kind that TLS 1.3 does not know, or a group is missing.',
    ],
    remedies: ['Give it a certificate with an ECDSA P-256 or RSA key of 2048 bits, or switch TLS 1.3 off.'],
  }
}

/** Why one version is refused where another is spoken. */
export function refusedVersionFinding(
  { method, endpoint, failure }: MethodFacts,
  client: ClientFacts,
  doBothSucceed: boolean,
): Finding {
  const version = method === 'tls13' ? 'TLS 1.3' : 'TLS 1.2'
  const subject = { method, endpoint }
  if (failure?.wantsCertificate) {
    const said = certificateWanted(failure, endpoint, client)
    return { severity: 'problem', ...subject, ...said, what: `${version}: ${said.what}` }
  }
  if (failure !== undefined && isWithoutVersion(failure, method, doBothSucceed))
    return {
      id: 'version-refused',
      severity: 'note',
      ...subject,
      what: `${version} is refused at ${endpoint} (${failure.alert ?? failure.code}).`,
      reasons: [
        `The server is set up without ${version}, or without a cipher suite for it that Node offers.`,
      ],
      remedies: [`Nothing, if no client needs ${version}.`],
    }
  const said = saidOf(failure, endpoint, client)
  return { severity: 'warning', ...subject, ...said, what: `${version}: ${said.what}` }
}

const WITHOUT_VERSION: readonly (string | undefined)[] = [
  'protocol_version',
  'handshake_failure',
  'insufficient_security',
]

/** Some say so by another alert, or by hanging up: that is enough, where a client that offers both versions is served. */
function isWithoutVersion(
  { kind, alert, version }: Failure,
  method: Method,
  doBothSucceed: boolean,
): boolean {
  if (doBothSucceed && (kind === 'alert' || kind === 'closed')) return true
  const chosen = method === 'tls13' ? 0x0304 : TLS1_2
  return WITHOUT_VERSION.includes(alert) || (kind === 'refused-here' && version !== chosen)
}

/** What Node refuses by itself, in words. */
const REFUSED_HERE: readonly (readonly [RegExp, string])[] = [
  [/DH_KEY_TOO_SMALL|DH_PARAM_SIZE/, 'its Diffie-Hellman group is too small'],
  [/EE_KEY_TOO_SMALL|CA_KEY_TOO_SMALL/, 'the key of its certificate is too small'],
  [
    /MD_TOO_WEAK|WRONG_SIGNATURE_TYPE|SIGALG|SIGNATURE_ALGORITHM/,
    'it signs in a way that is too weak, such as with SHA-1',
  ],
  [/LEGACY_RENEGOTIATION/, 'it knows no secure renegotiation (RFC 5746)'],
  [/UNSUPPORTED_PROTOCOL|WRONG_SSL_VERSION/, 'it chooses a version that Node has switched off'],
]

function looksInsecure(
  { protocol = '', cipher = '' }: NonNullable<EndpointFacts['wide']>,
  failure: Failure | undefined,
  endpoint: string,
): Said {
  const insecure = 'To look at it all the same: --insecure.'
  if (protocol === 'TLSv1' || protocol === 'TLSv1.1')
    return {
      id: 'old-versions-only',
      what: `${endpoint} speaks ${versionName(protocol)} and nothing newer, which Node, browsers and OpenSSL refuse by default.`,
      reasons: ['The server is old, or set up for old clients only (RFC 8996 forbids TLS 1.0 and 1.1).'],
      remedies: ['Let it speak TLS 1.2 and 1.3.', insecure],
    }
  return {
    id: 'node-defaults',
    what: `${endpoint} speaks ${versionName(protocol)} with ${cipher}, and Node ${process.versions.node} does not accept that by default (${codeText(failure)}).`,
    reasons: [`It is not a matter of sessions: ${reasonHere(failure, cipher)}.`],
    remedies: [
      'Let the server use what is safe today: ECDHE with AES-GCM or ChaCha20, keys of 2048 bits and more.',
      insecure,
    ],
  }
}

function reasonHere(failure: Failure | undefined, cipher: string): string {
  if (/^A(EC)?DH-|-anon-/.test(cipher))
    return 'the server has no certificate, and offers none but anonymous connections'
  if (cipher.includes('NULL')) return 'the server offers connections without encryption only'
  const known = REFUSED_HERE.find(
    ([pattern]) => failure?.kind === 'refused-here' && pattern.test(failure.code),
  )
  return known?.[1] ?? 'there is no common cipher suite among those that Node offers'
}

function codeText(failure: Failure | undefined): string {
  return failure?.alert === undefined ? (failure?.code ?? 'no answer') : `alert ${failure.alert}`
}

/** For a failure that nothing else explains. */
function saidOf(failure: Failure | undefined, endpoint: string, client: ClientFacts): Said {
  if (failure === undefined) return otherAlert({ kind: 'broken', code: 'unknown' }, endpoint)
  if (failure.wantsCertificate) return certificateWanted(failure, endpoint, client)
  return connectionFinding(failure, endpoint, client) ?? alertSaid(failure, endpoint, client)
}

function certificateWanted(failure: Failure, endpoint: string, client: ClientFacts): Said {
  const old = VERSIONS.get(failure.version ?? TLS1_2)
  const also =
    old === undefined ? '' : ` It speaks ${old}, which Node refuses by default: --insecure as well.`
  if (!client.hasCertificate)
    return {
      id: 'client-certificate-required',
      what: `${endpoint} wants a certificate of its clients, and lets nobody in without one (${codeText(failure)}).${also}`,
      reasons: [
        'Mutual TLS: verify required in HAProxy, ssl_verify_client on in nginx, RequireAnyClientCert in Go, rejectUnauthorized in Node.',
      ],
      remedies: ['Give one that the server accepts, with --cert and --key.'],
    }
  const why = CERTIFICATE_REASONS.get(failure.alert ?? '') ?? 'The server does not say what is wrong with it.'
  return {
    id: 'client-certificate-refused',
    what: `${endpoint} does not accept the client certificate of --cert (${codeText(failure)}).${also}`,
    reasons: [why],
    remedies: [
      'Give a certificate of an authority that the server trusts, with the certificates between in the file of --cert.',
    ],
  }
}

const CERTIFICATE_REASONS: ReadonlyMap<string, string> = new Map([
  [
    'unknown_ca',
    'The server does not trust the authority that has issued it, or a certificate between is missing.',
  ],
  ['certificate_expired', 'It has expired, or is not yet valid, by the clock of the server.'],
  ['certificate_revoked', 'Its authority has revoked it.'],
  [
    'unsupported_certificate',
    'It is of a kind, or for a purpose, that the server does not take: clientAuth is needed.',
  ],
  ['bad_certificate', 'The server cannot verify it, or it is not the one that it knows.'],
  ['access_denied', 'It is valid, and the server lets its owner not in.'],
  ['certificate_required', 'It was not sent: the server asked for one of other authorities or key types.'],
])

function alertSaid(failure: Failure, endpoint: string, client: ClientFacts): Said {
  const { alert = '' } = failure
  const name = client.servername === undefined ? 'no name was asked for' : `asked for ${client.servername}`
  switch (alert) {
    case 'unrecognized_name':
    case 'missing_extension':
      return {
        id: 'name-refused',
        what: `${endpoint} refuses the server name (${codeText(failure)}; ${name}).`,
        reasons: ['The server has no certificate for such a name, and none for others.'],
        remedies: ['Say with --servername which name to ask for.'],
      }
    case 'no_application_protocol':
      return {
        id: 'protocol-refused',
        what: `${endpoint} speaks none of the protocols that were offered (${codeText(failure)}; offered: ${client.alpn.join(', ') || 'none'}).`,
        reasons: ['The server insists on a protocol of its own in ALPN (RFC 7301).'],
        remedies: ['Offer one that it speaks, with --alpn: h2, http/1.1, mqtt, imap, postgresql, dot.'],
      }
    case 'protocol_version':
    case 'handshake_failure':
    case 'insufficient_security':
    case 'unknown_psk_identity':
      return nothingInCommon(failure, endpoint, client)
    default:
      return otherAlert(failure, endpoint)
  }
}

function nothingInCommon(failure: Failure, endpoint: string, client: ClientFacts): Said {
  const isVersion = failure.alert === 'protocol_version'
  const range = client.isInsecure || failure.version !== undefined ? 'TLS 1.0 to 1.3' : 'TLS 1.2 and 1.3'
  return {
    id: 'nothing-in-common',
    what: isVersion
      ? `${endpoint} is a TLS server, and speaks none of the versions of this client, ${range} (${codeText(failure)}).`
      : `${endpoint} is a TLS server, and finds no common cipher suite, group or signature with this client (${codeText(failure)}).`,
    reasons: isVersion
      ? ['It speaks SSL 3.0 or older, or its versions are all switched off.']
      : [
          'It has no certificate, or none for these cipher suites: a key of another type, pre-shared keys (PSK), SRP, GOST.',
          ...(client.servername === undefined ? ['It has none without a server name: --servername.'] : []),
          'It has refused for a reason of its own, which only its log has.',
        ],
    remedies: isVersion
      ? ['Switch TLS 1.2 and 1.3 on.']
      : [
          'Look at its log, its cipher list and its certificate.',
          'openssl s_client -connect says more, with -trace.',
        ],
  }
}

function otherAlert(failure: Failure, endpoint: string): Said {
  return {
    id: 'handshake-refused',
    what: `${endpoint} is a TLS server, and ends each handshake (${codeText(failure)}).`,
    reasons: [ALERT_REASONS.get(failure.alert ?? '') ?? 'The server does not say more than that.'],
    remedies: ['Look at its log for that moment.'],
  }
}

const ALERT_REASONS: ReadonlyMap<string, string> = new Map([
  [
    'internal_error',
    'Something fails within the server: no certificate is set up, a callback throws, a key cannot be read.',
  ],
  [
    'decode_error',
    'The server cannot read the ClientHello: it is broken, or something between changes the bytes.',
  ],
  [
    'illegal_parameter',
    'The server does not like the ClientHello: it is broken, or something between changes the bytes.',
  ],
  ['unexpected_message', 'The server expected another message: it is broken, or waits for another protocol.'],
  [
    'decrypt_error',
    'A signature or checksum did not fit: a key that does not belong to the certificate, or a broken library.',
  ],
  [
    'bad_record_mac',
    'The server could not decrypt: a broken library, or something between changes the bytes.',
  ],
  ['record_overflow', 'The server found a record too long: something between changes the bytes.'],
  ['unsupported_extension', 'The server does not like an extension of the ClientHello: it is broken.'],
  ['inappropriate_fallback', 'The server takes this for a downgrade.'],
  ['user_canceled', 'The server has broken off for a reason that has nothing to do with TLS.'],
  ['close_notify', 'The server ends as soon as it has begun: it is shutting down, or limits connections.'],
  ['access_denied', 'The server does not let this client in: by its address, or by its certificate.'],
])
