import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type EngineMajor, enginePath } from '../../tools/engine-binary.ts'
import { SERVER_NAME } from '../setups.ts'
import { type Client, run, versionOf, type Workspace } from './client.ts'

// Clients that are a library, each with a program of ours: same arguments, same output.

function source(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url))
}

/** @param command - with the program's arguments after it, starts the program */
function programClient(
  version: string,
  manner: string,
  [command, ...args]: readonly [string, ...string[]],
): Client {
  return {
    version,
    manner,
    async visit({ port, authority, certificate: own, paths }) {
      const files = [authority, own?.certificate ?? '', own?.key ?? '']
      const output = await run(command, [...args, SERVER_NAME, String(port), ...files, ...paths])
      return [...output.matchAll(/^(true|false)$/gm)].map(([claim]) => claim === 'true')
    },
  }
}

export async function openNode(major: EngineMajor): Promise<Client> {
  const node = await enginePath(major)
  const version = await versionOf(node, ['--version'], /^v(\S+)/)
  return programClient(version, 'one https.Agent', [node, source('./node-client.js')])
}

export async function openPython(): Promise<Client> {
  const print = 'import platform, ssl; print(platform.python_version() + ", " + ssl.OPENSSL_VERSION)'
  const version = await versionOf('python3', ['-c', print], /^(\S+, \w+ \S+)/)
  return programClient(version, 'session= of SSLContext.wrap_socket, from the connection before', [
    'python3',
    source('./python-client.py'),
  ])
}

export async function openJava({ folder }: Workspace): Promise<Client> {
  const version = await versionOf('java', ['-version'], /version "([^"]+)"/)
  await run('javac', ['-d', folder, source('./JavaClient.java')])
  return programClient(version, 'one SSLContext; a session older than its connection was resumed', [
    'java',
    '-cp',
    folder,
    'JavaClient',
  ])
}

export async function openGo({ folder }: Workspace): Promise<Client> {
  const version = await versionOf('go', ['version'], /^go version go(\S+)/)
  const program = join(folder, 'go-client')
  // The standard library is enough.
  const env = { GOFLAGS: '', GOPROXY: 'off' }
  await run('go', ['build', '-o', program, source('./go-client.go')], { env })
  return programClient(version, 'one ClientSessionCache', [program])
}
