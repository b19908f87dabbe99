import { findingOfFailure } from './diagnosis.ts'
import { clientFacts } from './examination-facts.ts'
import { type HandshakeError, provesTls } from './failure.ts'
import type { ClientSettings, Method } from './probe.ts'
import { ExitCode, UnreachableError } from './usage.ts'

/** Who has refused, and what was asked for. */
interface Refused {
  readonly endpoint: string
  readonly servername: string | undefined
  readonly method: Method | 'any'
}

/** For a command that can do nothing without a handshake; who asks why is sent to the one that says it. */
export function refusal(
  error: HandshakeError,
  { endpoint, servername, method }: Refused,
  settings: ClientSettings,
): UnreachableError {
  const exitCode = provesTls(error.failure) ? ExitCode.PROBLEM : ExitCode.UNREACHABLE
  // With one version alone, the alert does not say that there is none in common.
  if (method !== 'any' && error.failure.alert === 'protocol_version') {
    const [version, other] = method === 'tls13' ? ['1.3', '1.2'] : ['1.2', '1.3']
    return new UnreachableError(
      `${endpoint} is a TLS server, and does not speak TLS ${version}, which alone was offered (alert protocol_version). Try --protocol ${other}.`,
      { code: 'version-refused', cause: error, exitCode },
    )
  }
  const { id, what } = findingOfFailure(error.failure, endpoint, clientFacts(settings, servername))
  return new UnreachableError(`${what} sslctx doctor says more.`, { code: id, cause: error, exitCode })
}
