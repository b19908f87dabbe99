import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

// Servers in processes of their own: scripts of these tests, which talk in messages, and programs, which listen on a port.

const START_DEADLINE_MS = 20_000
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))

export interface ScriptOptions {
  readonly args?: readonly string[]
  /** Besides what the process has from its parent. */
  readonly env?: Readonly<Record<string, string>>
  /** The Node that runs it. */
  readonly binary?: string
  /** Options of Node. */
  readonly execArgv?: readonly string[]
  /** Where its output goes: `ignore` where it may say what it likes. */
  readonly stdout?: 'inherit' | 'ignore'
  /** `pipe` for who reads what it says when it dies. */
  readonly stderr?: 'inherit' | 'pipe' | 'ignore'
}

/** A script in TypeScript in a process of its own, which ends when its parent lets go of it. */
export function forkScript(file: URL, options: ScriptOptions = {}): ChildProcess {
  const { args = [], env = {}, binary = process.execPath, execArgv = [] } = options
  const { stdout = 'inherit', stderr = 'inherit' } = options
  return fork(file, args, {
    execPath: binary,
    execArgv: [...execArgv, '--import', 'tsx'],
    env: { ...process.env, ...env },
    stdio: ['ignore', stdout, stderr, 'ipc'],
  })
}

/** @returns what it says next; whoever waits listens before it can speak @throws Error when it ends, and has said nothing */
export async function nextMessage<T>(child: ChildProcess): Promise<T> {
  const ended = new AbortController()
  // After the last message, unlike `exit`.
  const onDisconnect = (): void => ended.abort()
  if (!child.connected) onDisconnect()
  child.once('disconnect', onDisconnect)
  try {
    const [message] = (await once(child, 'message', { signal: ended.signal })) as [T]
    return message
  } catch (cause) {
    throw new Error(`${child.spawnfile} has ended, with ${child.signalCode ?? child.exitCode}`, { cause })
  } finally {
    child.off('disconnect', onDisconnect)
  }
}

/** Lets go of a script; resolves when it has ended. */
export async function letGo(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const exit = once(child, 'exit')
  if (child.connected) child.disconnect()
  await exit
}

/** No goodbye to anyone; resolves when it has ended. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (hasEnded(child)) return
  const exit = once(child, 'exit')
  child.kill(signal)
  await exit
}

interface Message {
  readonly type: string
}

/** A script whose messages have types, seen from its parent. */
export class ScriptProcess<To extends Message, From extends Message> {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #received: From[] = []
  readonly #sleepers: (() => void)[] = []

  /** @param name - what errors call it */
  constructor(file: URL, name: string, options?: ScriptOptions) {
    this.#name = name
    this.#child = forkScript(file, options)
    this.#child.on('message', (message) => {
      this.#received.push(message as From)
      this.#wake()
    })
    this.#child.once('disconnect', () => this.#wake())
    this.#child.on('error', () => this.#wake())
  }

  get isAlive(): boolean {
    return !hasEnded(this.#child)
  }

  send(message: To): void {
    this.#child.send(message)
  }

  /** The next message of this type; others wait for whoever asks for them. */
  async next<T extends From['type']>(type: T): Promise<Extract<From, { readonly type: T }>> {
    for (;;) {
      const index = this.#received.findIndex((message) => message.type === type)
      if (index >= 0) return this.#received.splice(index, 1)[0] as Extract<From, { readonly type: T }>
      if (!this.#child.connected) throw new Error(`${this.#name} has ended without saying '${type}'`)
      await new Promise<void>((resolve) => {
        this.#sleepers.push(resolve)
      })
    }
  }

  #wake(): void {
    for (const wake of this.#sleepers.splice(0)) wake()
  }

  /** Resolves when it has ended by itself. */
  letGo(): Promise<void> {
    return letGo(this.#child)
  }

  kill(): Promise<void> {
    return endProcess(this.#child)
  }
}

/** @param below - the port is less @returns a port on which nobody listened a moment ago */
export async function freePort(below = 65_536): Promise<number> {
  for (;;) {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    if (port < below) return port
  }
}

const running: Set<ChildProcess> = new Set()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Starts a program that listens already when this resolves. Whoever started it ends it; at the latest it ends with this process.
 *
 * @param ready - the port where it listens, or what it prints then
 */
export async function startProgram(
  command: string,
  args: readonly string[],
  ready: number | RegExp,
): Promise<ChildProcess> {
  const isPrinted = typeof ready !== 'number'
  const child = spawn(command, args, {
    stdio: ['ignore', isPrinted ? 'pipe' : 'ignore', 'pipe'],
    cwd: REPOSITORY,
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  const said: string[] = []
  const listen = (chunk: Buffer): void => void said.push(chunk.toString())
  child.stderr?.on('data', listen)
  try {
    await (isPrinted ? untilPrinted(child, ready, said) : untilListening(child, ready))
  } catch (cause) {
    child.kill('SIGKILL')
    throw new Error(`${command} ${args.join(' ')} did not start: ${said.join('')}`, { cause })
  }
  // What it says from now on is read, and goes nowhere.
  child.stderr?.off('data', listen).resume()
  child.stdout?.resume()
  return child
}

async function untilPrinted(child: ChildProcess, ready: RegExp, said: string[]): Promise<void> {
  if (child.stdout === null) return
  const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error))
  failed.catch(() => undefined)
  const lines = createInterface({ input: child.stdout })
  const printed = (async () => {
    for await (const line of lines) {
      said.push(`${line}\n`)
      if (ready.test(line)) return
    }
    throw new Error(`nothing like ${ready}`)
  })()
  await Promise.race([printed, failed])
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  let failure: unknown
  child.once('error', (error) => {
    failure = error
  })
  const deadline = Date.now() + START_DEADLINE_MS
  while (!(await isListening(port))) {
    if (failure !== undefined) throw failure
    if (hasEnded(child)) throw new Error(`it ended with ${child.signalCode ?? child.exitCode}`)
    if (Date.now() > deadline) throw new Error(`nobody listens on ${port}`)
    await pause(20)
  }
}

function hasEnded({ exitCode, signalCode, pid }: ChildProcess): boolean {
  return pid === undefined || exitCode !== null || signalCode !== null
}

async function isListening(port: number): Promise<boolean> {
  const socket = net.connect({ host: '127.0.0.1', port })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
