import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { SERVER_NAME } from '../setups.ts'
import { type Client, run, type Target, versionOf, type Workspace } from './client.ts'

// Clients that are commands with options for resumption.

const request = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${SERVER_NAME}\r\nConnection: close\r\n\r\n`

export async function openOpenssl({ folder }: Workspace): Promise<Client> {
  const version = await versionOf('openssl', ['version'], /^OpenSSL (\S+)/)
  const visit = async (target: Target, path: string, file: string): Promise<boolean> => {
    const { port, authority, certificate: own } = target
    const output = await run(
      'openssl',
      [
        ...['s_client', '-connect', `127.0.0.1:${port}`, '-servername', SERVER_NAME],
        ...['-CAfile', authority, '-verify_return_error', '-verify_hostname', SERVER_NAME],
        ...(own ? ['-cert', own.certificate, '-key', own.key] : []),
        ...(existsSync(file) ? ['-sess_in', file] : []),
        ...['-sess_out', file],
      ],
      { input: request(path) },
    )
    return /^Reused, /m.test(output)
  }
  return {
    version,
    manner: 'each connection is a process, the session goes through a file: -sess_out, -sess_in',
    async visit(target) {
      const file = join(folder, `session-${target.port}.pem`)
      const claims: boolean[] = []
      for (const path of target.paths) claims.push(await visit(target, path, file))
      return claims
    },
  }
}

export async function openGnutls(): Promise<Client> {
  const version = await versionOf('gnutls-cli', ['--version'], /^gnutls-cli (\S+)/)
  const visit = async (target: Target, path: string, isFirst: boolean): Promise<boolean> => {
    const { port, authority, certificate: own } = target
    const output = await run(
      'gnutls-cli',
      [
        ...['--port', String(port), '--sni-hostname', SERVER_NAME, '--verify-hostname', SERVER_NAME],
        ...['--x509cafile', authority],
        ...(own ? ['--x509certfile', own.certificate, '--x509keyfile', own.key] : []),
        ...(isFirst ? [] : ['--resume', '--waitresumption']),
        '127.0.0.1',
      ],
      { input: request(path) },
    )
    return output.includes('*** This is a resumed session')
  }
  return {
    version,
    manner:
      'each connection is a process; --resume --waitresumption, so the session comes from a connection without request just before, since what it has resumed it does not offer again',
    async visit(target) {
      const claims: boolean[] = []
      for (const path of target.paths) claims.push(await visit(target, path, claims.length === 0))
      return claims
    },
  }
}

export async function openCurl(): Promise<Client> {
  const version = await versionOf('curl', ['--version'], /^curl (\S+ .*? \S*SSL\/\S+)/)
  return {
    version,
    manner:
      'one process with several URLs, which share their sessions; it keeps none between processes, and does not tell which were resumed',
    async visit({ port, authority, certificate: own, paths }) {
      await run('curl', [
        ...['--silent', '--show-error', '--fail', '--cacert', authority],
        ...['--resolve', `${SERVER_NAME}:${port}:127.0.0.1`],
        ...(own ? ['--cert', own.certificate, '--key', own.key] : []),
        ...paths.map((path) => `https://${SERVER_NAME}:${port}${path}`),
      ])
      return paths.map(() => undefined)
    },
  }
}
