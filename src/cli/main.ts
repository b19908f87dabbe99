#!/usr/bin/env node
import { fault, runCommand } from './command.ts'
import type { OutputStream } from './terminal.ts'
import { codeOf, ExitCode } from './usage.ts'

const interruption = new AbortController()
let outputError: unknown

/** Whoever reads from a pipe may stop before the end, as `head` does: then there is nothing more to say. */
function failOutput(error: unknown): void {
  outputError ??= error
  interruption.abort()
}

process.stdout.on('error', failOutput)
// Who cannot be told, cannot be told that.
process.stderr.on('error', () => undefined)

/** Writing to a file is synchronous, and may throw where it is done. */
function guarded(stream: NodeJS.WriteStream, onError: (error: unknown) => void): OutputStream {
  return {
    isTTY: stream.isTTY,
    get columns(): number {
      return stream.columns
    },
    write(text): void {
      try {
        stream.write(text)
      } catch (error) {
        onError(error)
      }
    },
  }
}

const terminal = {
  stdin: process.stdin,
  stdout: guarded(process.stdout, failOutput),
  stderr: guarded(process.stderr, () => undefined),
  env: process.env,
  interruption(): AbortSignal {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort())
    return interruption.signal
  },
}

async function exit(code: number): Promise<never> {
  // A lookup of a name cannot be called back, and would keep the process.
  await new Promise((resolve) => process.stdout.write('', resolve))
  await new Promise((resolve) => process.stderr.write('', resolve))
  if (outputError === undefined || codeOf(outputError) === 'EPIPE') process.exit(code)
  terminal.stderr.write(`sslctx: the output cannot be written (${codeOf(outputError)})\n`)
  process.exit(ExitCode.FAULT)
}

process.on('uncaughtException', (error) => void exit(fault(error, terminal)))
await exit(await runCommand(process.argv.slice(2), terminal))
