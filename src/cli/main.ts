#!/usr/bin/env node
import { runCommand } from './command.ts'

// Whoever reads from a pipe may stop before the end, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
process.exitCode = await runCommand(process.argv.slice(2), process)
