import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compileGoServer } from '../../tools/go-server.ts'

/** Where a server finds what it needs, and listens. */
export interface Place {
  /** Its own, with `key.pem`, `cert.pem` and `both.pem`, which is an authority too. */
  readonly folder: string
  readonly port: number
}

interface Launch {
  readonly command: string
  readonly args: readonly string[]
}

/** What the doctor is to end with, on a server that runs nothing of ours. */
export interface OtherServer {
  readonly name: string
  /** With the arguments that make it say its version. */
  readonly peer: readonly [command: string, ...versionArguments: string[]]
  readonly launch: (place: Place) => Launch
  readonly exitCode: 0 | 1
  /** What a quick run has, and CI. */
  readonly isQuick?: true
}

const cert = ({ folder }: Place): string => join(folder, 'cert.pem')
const key = ({ folder }: Place): string => join(folder, 'key.pem')

function write({ folder }: Place, name: string, text: string): string {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

/** Twenty set-ups and more of one program. */
function sServer(exitCode: 0 | 1, ...options: readonly string[]): OtherServer {
  return {
    name: `openssl s_server ${options.join(' ')}`.trim(),
    peer: ['openssl', 'version'],
    launch: (place) => ({
      command: 'openssl',
      args: [
        ...['s_server', '-accept', `127.0.0.1:${place.port}`, '-www', '-quiet'],
        ...['-key', key(place), '-cert', cert(place), ...options],
      ],
    }),
    exitCode,
  }
}

function nginx(exitCode: 0 | 1, directives: string): OtherServer {
  return {
    name: `nginx, ${directives || 'as it comes'}`,
    peer: ['nginx', '-v'],
    launch: (place) => {
      const { folder, port } = place
      const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (kind) => `${kind}_temp_path ${folder}/${kind};`,
      )
      const user = process.getuid?.() === 0 ? 'user root;' : ''
      const file = write(
        place,
        'nginx.conf',
        `daemon off; worker_processes 2; pid ${folder}/pid; error_log stderr crit; ${user}
        events {} http { access_log off; ${paths.join(' ')} ssl_certificate cert.pem; ssl_certificate_key key.pem;
        server { listen 127.0.0.1:${port} ssl; ${directives} return 200 hello; } }`,
      )
      return { command: 'nginx', args: ['-p', folder, '-c', file, '-e', 'stderr'] }
    },
    exitCode,
  }
}

function haproxy(exitCode: 0 | 1, settings: string, globals = ''): OtherServer {
  return {
    name: `haproxy, ${[settings, globals].filter(Boolean).join(', ') || 'as it comes'}`,
    peer: ['haproxy', '-v'],
    launch: (place) => {
      const { folder, port } = place
      const bind = `bind 127.0.0.1:${port} ssl crt ${folder}/both.pem ${settings.replace('CA', `${folder}/cert.pem`)}`
      const times = ['client', 'server', 'connect'].map((what) => `  timeout ${what} 10s\n`).join('')
      const file = write(
        place,
        'haproxy.cfg',
        `global\n  ${globals}\ndefaults\n  mode http\n${times}frontend tls\n  ${bind}\n  http-request return status 200\n`,
      )
      return { command: 'haproxy', args: ['-db', '-q', '-f', file] }
    },
    exitCode,
  }
}

function gnutls(exitCode: 0 | 1, ...options: readonly string[]): OtherServer {
  return {
    name: `gnutls-serv ${options.join(' ')}`.trim(),
    peer: ['gnutls-serv', '--version'],
    launch: (place) => {
      const files = ['--x509certfile', cert(place), '--x509keyfile', key(place)]
      const args = ['-q', '--http', '-p', String(place.port), ...files, ...options]
      return { command: 'gnutls-serv', args: args.map((word) => word.replace('CA', cert(place))) }
    },
    exitCode,
  }
}

function go(exitCode: 0 | 1, tickets: 'on' | 'off', refuses: string, about: string): OtherServer {
  return {
    name: `Go, ${about}`,
    peer: ['go', 'version'],
    launch: (place) => ({
      command: compileGoServer(place.folder),
      args: [String(place.port), cert(place), key(place), tickets, refuses],
    }),
    exitCode,
  }
}

const PYTHON = `import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'hello')
    def log_message(self, *arguments): pass
class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *arguments): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
if sys.argv[4] == 'verify':
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(sys.argv[2])
server = Server(('127.0.0.1', int(sys.argv[1])), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
`

function python(exitCode: 0 | 1, manner: 'plain' | 'verify'): OtherServer {
  return {
    name: manner === 'plain' ? 'Python http.server' : 'Python http.server, CERT_REQUIRED',
    peer: ['python3', '--version'],
    launch: (place) => {
      const file = write(place, 'server.py', PYTHON)
      return { command: 'python3', args: [file, String(place.port), cert(place), key(place), manner] }
    },
    exitCode,
  }
}

const NODE = `import { readFileSync } from 'node:fs'
import https from 'node:https'
const [port, cert, key] = process.argv.slice(2)
https.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => response.end('hello'))
  .listen(Number(port), '127.0.0.1')
`

const node: OtherServer = {
  name: 'Node as it comes',
  peer: [process.execPath, '--version'],
  launch: (place) => {
    const file = write(place, 'server.mjs', NODE)
    return { command: process.execPath, args: [file, String(place.port), cert(place), key(place)] }
  },
  exitCode: 0,
}

const stunnel: OtherServer = {
  name: 'stunnel',
  peer: ['stunnel', '-version'],
  launch: (place) => {
    const settings = [
      `accept = 127.0.0.1:${place.port}`,
      `cert = ${cert(place)}`,
      `key = ${key(place)}`,
      'exec = /bin/cat',
    ]
    const file = write(place, 'stunnel.conf', `foreground = quiet\npid =\n[tls]\n${settings.join('\n')}\n`)
    return { command: 'stunnel', args: [file] }
  },
  exitCode: 0,
}

const redis: OtherServer = {
  name: 'redis-server, tls-auth-clients yes',
  peer: ['redis-server', '--version'],
  launch: (place) => ({
    command: 'redis-server',
    args: [
      ...['--port', '0', '--tls-port', String(place.port), '--bind', '127.0.0.1', '--save', ''],
      ...['--tls-cert-file', cert(place), '--tls-key-file', key(place), '--tls-ca-cert-file', cert(place)],
    ],
  }),
  exitCode: 1,
}

const mosquitto: OtherServer = {
  name: 'mosquitto',
  peer: ['mosquitto', '-h'],
  launch: (place) => {
    const user = process.getuid?.() === 0 ? 'user root\n' : ''
    const files = `certfile ${cert(place)}\nkeyfile ${key(place)}\n`
    const listener = `listener ${place.port} 127.0.0.1\nallow_anonymous true\n`
    return { command: 'mosquitto', args: ['-c', write(place, 'mosquitto.conf', listener + files + user)] }
  },
  exitCode: 0,
}

const caddy: OtherServer = {
  name: 'caddy',
  peer: ['caddy', 'version'],
  launch: (place) => {
    const site = `https://server.example:${place.port} {\n  bind 127.0.0.1\n  tls ${cert(place)} ${key(place)}\n  respond hello\n}\n`
    const file = write(place, 'Caddyfile', `{\n  admin off\n  auto_https off\n}\n${site}`)
    return { command: 'caddy', args: ['run', '--config', file, '--adapter', 'caddyfile'] }
  },
  exitCode: 0,
}

const apache: OtherServer = {
  name: 'apache2',
  peer: ['apache2', '-v'],
  launch: (place) => {
    const { folder, port } = place
    const modules = ['mpm_event', 'ssl', 'socache_shmcb', 'authz_core'].map(
      (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`,
    )
    const user = process.getuid?.() === 0 ? ['User www-data', 'Group www-data'] : []
    const file = write(
      place,
      'apache.conf',
      [
        ...[
          `ServerRoot ${folder}`,
          `PidFile ${folder}/pid`,
          `DefaultRuntimeDir ${folder}`,
          `ErrorLog ${folder}/error.log`,
        ],
        ...[...modules, ...user, `Listen 127.0.0.1:${port}`, 'ServerName server.example', 'LogLevel crit'],
        ...['SSLEngine on', `SSLCertificateFile ${cert(place)}`, `SSLCertificateKeyFile ${key(place)}`],
        ...[`SSLSessionCache shmcb:${folder}/cache(512000)`, ''],
      ].join('\n'),
    )
    return { command: 'apache2', args: ['-X', '-f', file] }
  },
  exitCode: 0,
}

const SECLEVEL = 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'
const quick = (server: OtherServer): OtherServer => ({ ...server, isQuick: true })

export const otherServers: readonly OtherServer[] = [
  quick(sServer(0)),
  sServer(0, '-tls1_2'),
  sServer(0, '-tls1_3'),
  sServer(0, '-no_ticket'),
  sServer(0, '-no_cache'),
  sServer(1, '-no_cache', '-no_ticket'),
  sServer(1, '-num_tickets', '0'),
  sServer(0, '-num_tickets', '5'),
  sServer(0, '-no_ticket', '-tls1_2'),
  sServer(0, '-verify', '1'),
  quick(sServer(1, '-Verify', '1')),
  sServer(1, '-Verify', '1', '-tls1_2'),
  quick(sServer(1, '-tls1_1', '-cipher', SECLEVEL)),
  sServer(1, '-tls1', '-cipher', SECLEVEL),
  sServer(1, '-tls1_2', '-cipher', 'CAMELLIA256:@SECLEVEL=0'),
  sServer(1, '-tls1_2', '-cipher', 'NULL:@SECLEVEL=0'),
  sServer(1, '-tls1_3', '-ciphersuites', 'TLS_AES_128_CCM_8_SHA256'),
  sServer(1, '-nocert', '-cipher', SECLEVEL),
  sServer(1, '-nocert', '-psk', '1a2b'),
  sServer(0, '-groups', 'P-521'),
  sServer(0, '-cipher', 'AES128-SHA'),
  sServer(0, '-alpn', 'h2'),
  nginx(0, ''),
  quick(nginx(0, 'ssl_session_cache shared:s:1m;')),
  nginx(0, 'ssl_session_cache shared:s:1m; ssl_session_tickets off;'),
  nginx(1, 'ssl_session_cache off; ssl_session_tickets off;'),
  nginx(0, 'ssl_session_cache shared:s:1m; ssl_verify_client optional_no_ca;'),
  nginx(1, 'ssl_reject_handshake on;'),
  quick(haproxy(0, '')),
  haproxy(1, 'no-tls-tickets', 'tune.ssl.cachesize 0'),
  quick(haproxy(1, 'ca-file CA verify required')),
  haproxy(1, 'ca-file CA verify required ssl-max-ver TLSv1.2'),
  quick(gnutls(0)),
  gnutls(0, '--priority', 'NORMAL:-VERS-TLS1.3'),
  gnutls(1, '--require-client-cert', '--x509cafile', 'CA'),
  quick(go(0, 'on', 'nobody', 'as it comes')),
  go(1, 'off', 'nobody', 'SessionTicketsDisabled'),
  quick(go(1, 'on', 'require-certificate', 'RequireAnyClientCert')),
  go(1, 'on', 'old', 'TLS 1.1'),
  go(1, 'on', 'fail', 'GetConfigForClient that fails'),
  quick(python(0, 'plain')),
  python(1, 'verify'),
  quick(node),
  redis,
  stunnel,
  mosquitto,
  caddy,
  apache,
]
