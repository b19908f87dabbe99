import { noHandshakeText } from './diagnosis.ts'
import { type HandshakeError, provesTls } from './failure.ts'
import { ExitCode, UnreachableError } from './usage.ts'

/** For a command that can do nothing without a handshake; who asks why is sent to the one that says it. */
export function refusal(
  error: HandshakeError,
  endpoint: string,
  servername: string | undefined,
): UnreachableError {
  const exitCode = provesTls(error.failure) ? ExitCode.PROBLEM : ExitCode.UNREACHABLE
  const message = `${noHandshakeText(error.failure, endpoint, servername)} sslctx doctor says more.`
  return new UnreachableError(message, { cause: error, exitCode })
}
