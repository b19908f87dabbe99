import { findingOfFailure } from './diagnosis.ts'
import { clientFacts } from './examination-facts.ts'
import { type HandshakeError, provesTls } from './failure.ts'
import type { ClientSettings } from './probe.ts'
import { ExitCode, UnreachableError } from './usage.ts'

/** For a command that can do nothing without a handshake; who asks why is sent to the one that says it. */
export function refusal(
  error: HandshakeError,
  { endpoint, servername }: { readonly endpoint: string; readonly servername: string | undefined },
  settings: ClientSettings,
): UnreachableError {
  const exitCode = provesTls(error.failure) ? ExitCode.PROBLEM : ExitCode.UNREACHABLE
  const { id, what } = findingOfFailure(error.failure, endpoint, clientFacts(settings, servername))
  return new UnreachableError(`${what} sslctx doctor says more.`, { code: id, cause: error, exitCode })
}
