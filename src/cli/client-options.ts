import { createPrivateKey, X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { readPem } from './pem-files.ts'
import type { ClientSettings } from './probe.ts'
import { isStartTls, START_TLS_PORTS, type StartTls } from './starttls.ts'
import { parseTarget, type Target } from './target.ts'
import { codeOf, DAY_SEC, listOption, numberOption, quoted, UsageError } from './usage.ts'

const DEFAULT_TIMEOUT_SEC = 10

/** What the commands that connect have in common, for `parseArgs`. */
export const CLIENT_OPTIONS = {
  servername: { type: 'string' },
  timeout: { type: 'string' },
  http: { type: 'boolean' },
  alpn: { type: 'string', multiple: true },
  ca: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  starttls: { type: 'string' },
  insecure: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

/** Their help. */
export const CLIENT_HELP: string = `  --timeout SECONDS         for one handshake; 10 by default
  --starttls PROTOCOL       ${Object.keys(START_TLS_PORTS).join(', ')}: what is spoken before TLS.
                            PORT is that of the protocol by default
  --http                    sends a HEAD request on each connection; for servers that send the tickets of TLS 1.3
                            with their first answer only
  --alpn NAMES              protocols, by commas
  --ca FILE                 PEM of the authorities that the server's certificate is verified by. Verification is
                            reported; a certificate that does not verify stops nothing
  --cert FILE, --key FILE   PEM of a client certificate and its key, which must not be encrypted
  --insecure                looks also at what Node refuses by default: TLS 1.0 and 1.1, weak ciphers, small keys,
                            servers without secure renegotiation`

export interface ClientOptions {
  readonly timeout?: string | undefined
  readonly http?: boolean | undefined
  readonly alpn?: readonly string[] | undefined
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly starttls?: string | undefined
  readonly insecure?: boolean | undefined
}

const MAX_ALPN_BYTES = 255

/** @throws {@link UsageError} for a file that cannot be used, half of a client certificate, and an unknown protocol */
export function clientSettings(values: ClientOptions): ClientSettings {
  const { ca, cert, key } = values
  if ((cert === undefined) !== (key === undefined)) throw new UsageError('--cert and --key go together')
  const timeoutSec = numberOption('timeout', values.timeout, {
    fallback: DEFAULT_TIMEOUT_SEC,
    min: 0.1,
    max: DAY_SEC,
  })
  const alpn = listOption(values.alpn)
  const long = alpn.find((name) => Buffer.byteLength(name) > MAX_ALPN_BYTES)
  if (long !== undefined) throw new UsageError(`--alpn: a protocol has at most ${MAX_ALPN_BYTES} bytes`)
  const files = {
    ...(ca !== undefined && { ca: readPem('ca', ca) }),
    ...(cert !== undefined && { cert: readPem('cert', cert) }),
    ...(key !== undefined && { key: readPem('key', key) }),
  }
  checkFiles(files)
  return {
    timeoutMs: timeoutSec * 1000,
    alpn,
    isHttp: values.http === true,
    isInsecure: values.insecure === true,
    startTls: startTlsOf(values),
    ...files,
  }
}

function startTlsOf({ starttls }: ClientOptions): StartTls | undefined {
  if (starttls === undefined || isStartTls(starttls)) return starttls
  throw new UsageError(
    `--starttls must be ${Object.keys(START_TLS_PORTS).join(', ')}, got ${quoted(starttls)}`,
  )
}

/** @throws {@link UsageError} for what is no HOST[:PORT], and for a URL that begins with TLS where something else is to come first */
export function targetOf(text: string, values: ClientOptions): Target {
  const startTls = startTlsOf(values)
  const target = parseTarget(text, startTls && START_TLS_PORTS[startTls])
  const [, scheme] = /^([^:/]+):\/\//.exec(text) ?? []
  if (startTls !== undefined && scheme !== undefined)
    throw new UsageError(`'${scheme}://' begins with TLS: leave --starttls out, or write HOST[:PORT]`)
  return target
}

function checkFiles(files: Pick<ClientSettings, 'ca' | 'cert' | 'key'>): void {
  try {
    tls.createSecureContext(files)
    const { cert, key } = files
    // libssl does not compare them when they are of different types, and would then show no certificate at all.
    const areOne =
      cert === undefined ||
      key === undefined ||
      new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
    if (!areOne) throw Object.assign(new Error('mismatch'), { code: 'ERR_OSSL_X509_KEY_VALUES_MISMATCH' })
  } catch (error) {
    throw new UsageError(
      `--ca, --cert and --key must be PEM, and the last two belong together (${codeOf(error)})`,
    )
  }
}
