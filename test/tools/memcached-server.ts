import type { ChildProcess } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { missingCommand } from './peers.ts'
import { endProcess, freePort, startProgram } from './server-process.ts'

/** Why there is no memcached here; undefined when there is. */
export const missingMemcached = missingCommand('memcached', '--version')

/** A real memcached on 127.0.0.1. */
export interface MemcachedProcess {
  readonly port: number
  readonly pid: number
  /** For the `connect` of a store. */
  connect(): Socket
  /** SIGKILL; resolves when it has ended. */
  kill(): Promise<void>
  /** The same port, and nothing in memory. */
  restart(): Promise<void>
}

/** @param options - of memcached's command line; the caller ends the process with `kill` */
export async function startMemcached(...options: readonly string[]): Promise<MemcachedProcess> {
  const port = await freePort()
  let child = await launch(port, options)
  return {
    port,
    get pid() {
      return child.pid ?? 0
    },
    connect: () => connect({ port, host: '127.0.0.1', noDelay: true }),
    kill: () => endProcess(child),
    async restart() {
      await endProcess(child)
      child = await launch(port, options)
    },
  }
}

function launch(port: number, options: readonly string[]): Promise<ChildProcess> {
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const place = ['-l', '127.0.0.1', '-p', String(port), '-U', '0']
  return startProgram('memcached', [...user, ...place, ...options], port)
}
