import { execFile } from 'node:child_process'

/** One server, for one client. */
export interface Target {
  readonly port: number
  /** To be asked for one after the other, each on a connection of its own that offers what the ones before have brought. */
  readonly paths: readonly string[]
  /** Files in PEM. */
  readonly authority: string
  readonly certificate?: { readonly certificate: string; readonly key: string }
}

export interface Client {
  readonly version: string
  /** How it is made to resume; a sentence for the report. */
  readonly manner: string
  /** @returns for each path whether the client says that the connection was resumed; undefined when it says nothing */
  visit(target: Target): Promise<readonly (boolean | undefined)[]>
  close?(): Promise<void>
}

/** What clients find when they are opened. */
export interface Workspace {
  /** For files; removed after the run. */
  readonly folder: string
  /** Files in PEM of all authorities and client certificates. */
  readonly authorities: readonly string[]
  readonly certificates: readonly { readonly certificate: string; readonly key: string }[]
}

const DEADLINE_MS = 30_000

/**
 * @param input - written to its stdin, which stays open: some clients leave at its end, before the response
 * @returns what it wrote to stdout and stderr
 * @throws Error when it does not end in time, or not well
 */
export function run(
  command: string,
  args: readonly string[],
  { input = '', env }: { readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: DEADLINE_MS, ...(env && { env: { ...process.env, ...env } }) }
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr)
      else if (error.code === 'ENOENT') reject(new Error(`${command} is not installed`, { cause: error }))
      else reject(new Error(`${command}: ${(stderr || stdout || error.message).trim()}`, { cause: error }))
    })
    child.stdin?.on('error', () => undefined).write(input)
  })
}

/** @throws Error when the command cannot be run, or says nothing like `pattern` */
export async function versionOf(command: string, args: readonly string[], pattern: RegExp): Promise<string> {
  const [, version] = pattern.exec(await run(command, args)) ?? []
  if (version === undefined) throw new Error(`${command} does not tell its version`)
  return version
}
