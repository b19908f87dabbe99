import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { missingCommand } from './peers.ts'

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
    kill: () => end(child),
    async restart() {
      await end(child)
      child = await launch(port, options)
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function launch(port: number, options: readonly string[]): Promise<ChildProcess> {
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const place = ['-l', '127.0.0.1', '-p', String(port), '-U', '0']
  const child = spawn('memcached', [...user, ...place, ...options], { stdio: 'ignore' })
  const killWithUs = (): boolean => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  child.once('exit', () => process.off('exit', killWithUs))
  while (!(await isListening(port))) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`memcached ${options.join(' ')} did not start`)
  }
  return child
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
