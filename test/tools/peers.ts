import { execFileSync } from 'node:child_process'
import { test } from 'vitest'

/**
 * A test against a real peer. Without the peer it is skipped, with the reason in its title; with SSLCTX_REQUIRE_PEERS=1
 * it fails instead.
 *
 * @param problem - why the peer is missing; undefined when it is there
 */
export function peerTest(
  title: string,
  problem: string | undefined,
  run: () => void | Promise<void>,
  timeoutMs = 30_000,
): void {
  if (problem === undefined) test(title, run, timeoutMs)
  else if (process.env['SSLCTX_REQUIRE_PEERS'] === '1')
    test(title, () => {
      throw new Error(problem)
    })
  else test.skip(`${title} (${problem})`, run)
}

/** @returns undefined when the command can be run */
export function missingCommand(command: string, ...versionArguments: readonly string[]): string | undefined {
  try {
    execFileSync(command, versionArguments, { stdio: 'ignore' })
    return undefined
  } catch {
    return `${command} is not installed`
  }
}
