import { readFileSync } from 'node:fs'
import tls from 'node:tls'
import type { ClientSettings } from './probe.ts'
import { codeOf, DAY_SEC, listOption, numberOption, UsageError } from './usage.ts'

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
  json: { type: 'boolean' },
} as const

interface ClientOptions {
  readonly timeout?: string | undefined
  readonly http?: boolean | undefined
  readonly alpn?: readonly string[] | undefined
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** @throws {@link UsageError} for a file that cannot be read, and half of a client certificate */
export function clientSettings(values: ClientOptions): ClientSettings {
  const { ca, cert, key } = values
  if ((cert === undefined) !== (key === undefined)) throw new UsageError('--cert and --key go together')
  const timeoutSec = numberOption('timeout', values.timeout, {
    fallback: DEFAULT_TIMEOUT_SEC,
    min: 0.1,
    max: DAY_SEC,
  })
  const files = {
    ...(ca !== undefined && { ca: readOptionFile('ca', ca) }),
    ...(cert !== undefined && { cert: readOptionFile('cert', cert) }),
    ...(key !== undefined && { key: readOptionFile('key', key) }),
  }
  checkFiles(files)
  return {
    timeoutMs: timeoutSec * 1000,
    alpn: listOption(values.alpn),
    isHttp: values.http === true,
    ...files,
  }
}

function checkFiles(files: tls.SecureContextOptions): void {
  try {
    tls.createSecureContext(files)
  } catch (error) {
    throw new UsageError(
      `--ca, --cert and --key must be PEM, and the last two belong together (${codeOf(error)})`,
    )
  }
}

function readOptionFile(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`--${option}: cannot read '${file}' (${codeOf(error)})`)
  }
}
