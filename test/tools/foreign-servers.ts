import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { compileGoServer } from './go-server.ts'
import type { Method } from './methods.ts'
import { afterTest, certificate } from './node-servers.ts'
import { freePort, startProgram } from './server-process.ts'

/** A folder with `key.pem`, `cert.pem` and `both.pem`, removed after the test. */
export function folderWithCertificate(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sslctx-cli-'))
  afterTest(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'key.pem'), certificate.key)
  writeFileSync(join(folder, 'cert.pem'), certificate.cert)
  writeFileSync(join(folder, 'both.pem'), `${certificate.cert}\n${certificate.key}`)
  return folder
}

/** Runs until the test is over, and listens already. */
async function daemon(command: string, args: readonly string[], port: number): Promise<void> {
  const child = await startProgram(command, args, port)
  afterTest(() => child.kill())
}

/** @param options - of `openssl s_server` */
export async function startOpenssl(...options: readonly string[]): Promise<number> {
  const folder = folderWithCertificate()
  const port = await freePort()
  const files = ['-key', join(folder, 'key.pem'), '-cert', join(folder, 'cert.pem')]
  const args = ['s_server', '-accept', `127.0.0.1:${port}`, '-www', '-quiet', ...files, ...options]
  await daemon('openssl', args, port)
  return port
}

/** @param directives - of the `server` block */
export async function startNginx(directives: string): Promise<number> {
  const folder = folderWithCertificate()
  const port = await freePort()
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join('\n')
  const isRoot = process.getuid?.() === 0
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 2; pid ${folder}/pid; error_log stderr crit; ${isRoot ? 'user root;' : ''}
    events { worker_connections 256; accept_mutex off; }
    http {
      access_log off; ${paths}
      ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate cert.pem; ssl_certificate_key key.pem;
      server { server_name server.example; ${directives.replaceAll('$PORT', `127.0.0.1:${port}`)} return 200 "hello"; }
    }`,
  )
  await daemon('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'], port)
  return port
}

/** @param settings - what each `bind` is given, such as `no-tls-tickets` @param globals - lines of `global` */
export async function startHaproxy(
  settings: string,
  globals = '',
  certificates = `crt ${folderWithCertificate()}/both.pem`,
): Promise<number> {
  const folder = folderWithCertificate()
  const port = await freePort()
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    `global
  nbthread 2
  ${globals}
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend tls
  bind 127.0.0.1:${port} ssl ${certificates} ${settings}
  http-request return status 200 content-type text/plain string hello
`,
  )
  await daemon('haproxy', ['-db', '-q', '-f', join(folder, 'haproxy.cfg')], port)
  return port
}

let goProgram: string | undefined
let goFolder: string | undefined

afterAll(() => {
  if (goFolder !== undefined) rmSync(goFolder, { recursive: true, force: true })
})

/** Compiled once, removed when the tests of the file are over. */
function compileOnce(): string {
  if (goProgram !== undefined) return goProgram
  goFolder = mkdtempSync(join(tmpdir(), 'sslctx-cli-'))
  goProgram = compileGoServer(goFolder)
  return goProgram
}

export async function startGo(
  tickets: 'on' | 'off',
  refuses: 'nobody' | 'require-certificate' | 'trust-nobody' | 'old' | 'fail' = 'nobody',
): Promise<number> {
  const program = compileOnce()
  const folder = folderWithCertificate()
  const port = await freePort()
  await daemon(
    program,
    [String(port), join(folder, 'key.pem').replace('key', 'cert'), join(folder, 'key.pem'), tickets, refuses],
    port,
  )
  return port
}

/** Stock Node in a process of its own, in which the session id context comes from the arguments. */
const STOCK = `import { readFileSync } from 'node:fs'
import https from 'node:https'
const [port, folder] = process.argv.slice(2)
https.createServer({
  key: readFileSync(folder + '/key.pem'),
  cert: readFileSync(folder + '/cert.pem'),
  ticketKeys: Buffer.alloc(48, 7),
}, (request, response) => response.end('hello')).listen(Number(port), '127.0.0.1')
`

export async function startStockProcess(): Promise<number> {
  const folder = folderWithCertificate()
  const port = await freePort()
  writeFileSync(join(folder, 'stock.mjs'), STOCK)
  await daemon(process.execPath, [join(folder, 'stock.mjs'), String(port), folder], port)
  return port
}

/** Stock Node with two workers, each with a store of its own, as people write it who follow the manual of Node to the letter. */
const CLUSTER = `import cluster from 'node:cluster'
import { constants } from 'node:crypto'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import net from 'node:net'
const [port, folder, readyPort] = process.argv.slice(2)
if (cluster.isPrimary) {
  let listening = 0
  // When both are there, another port says so.
  cluster.on('listening', () => { if (++listening === 2) net.createServer().listen(Number(readyPort), '127.0.0.1') })
  cluster.fork()
  cluster.fork()
  process.on('SIGTERM', () => process.exit())
} else {
  const sessions = new Map()
  const server = https.createServer({
    key: readFileSync(folder + '/key.pem'),
    cert: readFileSync(folder + '/cert.pem'),
    secureOptions: constants.SSL_OP_NO_TICKET,
  }, (request, response) => response.end('hello'))
  server.on('newSession', (id, session, done) => { sessions.set(id.toString('hex'), session); done() })
  server.on('resumeSession', (id, done) => done(null, sessions.get(id.toString('hex')) ?? null))
  server.listen(Number(port), '127.0.0.1')
}
`

export async function startNodeCluster(): Promise<number> {
  const folder = folderWithCertificate()
  const port = await freePort()
  writeFileSync(join(folder, 'cluster.mjs'), CLUSTER)
  const readyPort = await freePort()
  await daemon(
    process.execPath,
    [join(folder, 'cluster.mjs'), String(port), folder, String(readyPort)],
    readyPort,
  )
  return port
}

const BY_HAND: Readonly<Record<Method, readonly string[]>> = {
  'tls12-id': ['-tls1_2', '-no_ticket'],
  'tls12-ticket': ['-tls1_2'],
  tls13: ['-tls1_3'],
}

/** One full handshake with -sess_out, then offers with -sess_in; undefined when there was nothing to offer. */
export async function offerByHand(port: number, method: Method, offers = 2): Promise<boolean[] | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'sslctx-hand-'))
  const file = join(folder, 'session.pem')
  try {
    await sClient(port, [...BY_HAND[method], '-sess_out', file])
    if (!isSession(file)) return undefined
    const resumed: boolean[] = []
    while (resumed.length < offers)
      resumed.push(/^Reused, /m.test(await sClient(port, [...BY_HAND[method], '-sess_in', file])))
    return resumed
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What `openssl s_client` says of a handshake, errors and all. */
export async function handshakeByHand(port: number, ...options: readonly string[]): Promise<string> {
  const child = spawn(
    'openssl',
    ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'server.example', ...options],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  child.stdin.on('error', () => undefined)
  // Not the end of input, at which it would leave before an alert can come.
  child.stdin.write('GET / HTTP/1.1\r\nHost: server.example\r\nConnection: close\r\n\r\n')
  await once(child, 'close')
  return output
}

function isSession(file: string): boolean {
  try {
    return readFileSync(file, 'utf8').includes('BEGIN SSL SESSION')
  } catch {
    return false
  }
}

/**
 * `-reconnect` makes five more connections, each with the session of the one before; TLS 1.2 only. It closes without
 * close_notify, after which a server of libssl may delete the session: that one did not resume proves little.
 */
export async function reconnectByHand(port: number, method: Method): Promise<boolean[]> {
  const output = await sClient(port, [...BY_HAND[method], '-reconnect'])
  return [...output.matchAll(/^(New|Reused), /gm)].slice(1).map(([, word]) => word === 'Reused')
}

async function sClient(port: number, options: readonly string[]): Promise<string> {
  const child = spawn(
    'openssl',
    ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'server.example', ...options],
    {
      stdio: ['pipe', 'pipe', 'ignore'],
    },
  )
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  child.stdin.on('error', () => undefined)
  child.stdin.write('GET / HTTP/1.1\r\nHost: server.example\r\nConnection: close\r\n\r\n')
  await once(child, 'close')
  return output
}

/** @param program - of `rude-server.c`, compiled @param mode - its last argument */
export async function startRude(program: string, mode: string): Promise<number> {
  const folder = folderWithCertificate()
  const port = await freePort()
  await daemon(program, [String(port), join(folder, 'cert.pem'), join(folder, 'key.pem'), mode], port)
  return port
}
