import https from 'node:https'
import net from 'node:net'
import type { TLSSocket } from 'node:tls'
import { describe, expect, test } from 'vitest'
import type { Method } from '../../../src/cli/probe.ts'
import { decodeSslSession } from '../../../src/codec/ssl-session-der.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { findingsOf, type Verdict, verdictOf, verdicts } from '../../tools/doctor.ts'
import { boundBy, nginx, nothing, openssl, peers, STOCK_NAMES } from '../../tools/doctor-peers.ts'
import {
  folderWithCertificate,
  offerByHand,
  reconnectByHand,
  startNginx,
  startNodeCluster,
} from '../../tools/foreign-servers.ts'
import { certificate, greet, listen, NAME, start, startStock } from '../../tools/node-servers.ts'
import { peerTest } from '../../tools/peers.ts'
import { freePort } from '../../tools/server-process.ts'
import { doctor, run } from './run-command.ts'

const probe = (port: number, ...args: string[]): ReturnType<typeof doctor> =>
  doctor(`127.0.0.1:${port}`, '--servername', NAME, ...args)

/** A client that knows tickets falls back to the id where it is given none; the doctor keeps the two apart. */
async function verdictsByHand(port: number): Promise<Record<Method, Verdict>> {
  const byHand = async (method: Method, ifNothing: Verdict): Promise<Verdict> => {
    const resumed = await offerByHand(port, method)
    return resumed ? verdictOf(resumed) : ifNothing
  }
  return {
    'tls12-id': await byHand('tls12-id', 'none'),
    'tls12-ticket': await byHand('tls12-ticket', 'none'),
    tls13: await byHand('tls13', nothing),
  }
}

/** What a client of that kind meets: by ticket where there are some, by id otherwise; nothing to offer is no resumption. */
function seenByClients(verdict: Record<Method, Verdict>): Record<Method, Verdict> {
  const byId = verdict['tls12-id'] === 'nothing offered' ? 'none' : verdict['tls12-id']
  const byTicket = verdict['tls12-ticket'] === 'nothing offered' ? byId : verdict['tls12-ticket']
  return { 'tls12-id': byId, 'tls12-ticket': byTicket, tls13: verdict.tls13 }
}

describe('sslctx doctor agrees with openssl s_client by hand', () => {
  for (const peer of peers)
    peerTest(`on ${peer.name}`, peer.problem, async () => {
      const port = await peer.start()
      const report = await probe(port, '--attempts', '3')
      const [byId, byTicket, tls13] = peer.verdicts
      expect(verdicts(report)).toEqual({ 'tls12-id': byId, 'tls12-ticket': byTicket, tls13 })
      expect(findingsOf(report)).toEqual(peer.findings)
      expect(report.exitCode).toBe(peer.exitCode)
      expect(seenByClients(verdicts(report))).toEqual(await verdictsByHand(port))
    })

  peerTest('on nginx whose workers have a cache each', nginx, async () => {
    const port = await startNginx(
      'listen $PORT ssl reuseport; ssl_session_cache builtin; ssl_session_tickets off;',
    )
    const report = await probe(port)
    expect(findingsOf(report).slice(0, 2)).toEqual([
      'problem not-shared tls12-id',
      'problem not-shared tls13',
    ])
    // Which worker a connection meets is chance; of twenty, some meet either.
    const byHand = await Promise.all(Array.from({ length: 4 }, () => reconnectByHand(port, 'tls12-id')))
    expect(verdictOf(byHand.flat())).toBe('some')
  })

  peerTest('on a cluster of stock Node whose workers have a store each', openssl, async () => {
    const port = await startNodeCluster()
    const report = await probe(port)
    expect(findingsOf(report)).toEqual([
      'problem not-shared tls12-id',
      'problem never-resumes tls13',
      'note no-tickets tls12-ticket',
    ])
    // The workers take turns.
    expect(await offerByHand(port, 'tls12-id', 3)).toEqual([false, true, false])
    expect(await offerByHand(port, 'tls13')).toEqual([false, false])
  })
})

describe('sslctx doctor', () => {
  test('tells ids, tickets and stateful tickets apart by what the server gives', async () => {
    const { port } = await start()
    const { methods } = await probe(port, '--attempts', '1')
    expect(methods.map(({ method, support, token }) => [method, support, token?.kind, token?.bytes])).toEqual(
      [
        ['tls12-id', 'sessions', 'id', 32],
        ['tls12-ticket', 'none', undefined, undefined],
        ['tls13', 'sessions', 'stateful-ticket', 32],
      ],
    )
  })

  test('says which version a server refuses', async () => {
    const { port } = await startStock({ server: { secureOptions: 0, minVersion: 'TLSv1.3' } })
    const report = await probe(port, '--attempts', '1')
    expect(findingsOf(report)).toEqual(['note version-refused tls12-id', STOCK_NAMES])
    expect(report.exitCode).toBe(0)
  })

  test('offers the sessions of each endpoint to all others', async () => {
    const { port: first } = await startStock({
      server: { secureOptions: 0, ticketKeys: Buffer.alloc(48, 1) },
    })
    const { port: second } = await startStock({
      server: { secureOptions: 0, ticketKeys: Buffer.alloc(48, 1) },
    })
    const report = await doctor(`127.0.0.1:${first}`, `127.0.0.1:${second}`, '--servername', NAME)
    const elsewhere = report.trials.filter(({ kind, method }) => kind === 'elsewhere' && method === 'tls13')
    expect(elsewhere.map(({ outcome }) => outcome)).toEqual(Array(10).fill('resumed'))
    expect(findingsOf(report)).not.toContain('problem not-shared-between-endpoints tls13')
  })

  test('takes --address in place of the addresses of HOST, whose name it still asks for', async () => {
    const names: (string | undefined)[] = []
    const { port } = await start({ attach: { onHandshake: ({ serverName }) => void names.push(serverName) } })
    const report = await doctor('shop.example', '--address', `127.0.0.1:${port}`, '--attempts', '1')
    expect(report.endpoints.map(({ endpoint }) => endpoint)).toEqual([`127.0.0.1:${port}`])
    expect(new Set(names)).toEqual(new Set(['shop.example', 'sslctx-doctor.invalid']))
  })

  // Stock Node is no such server any more.
  test.skipIf(boundBy)(
    `warns when a session resumes under a name that has another certificate${boundBy}`,
    async () => {
      const { server, port } = await startStock({ server: { secureOptions: 0 } })
      server.addContext('other.example', await makeCertificate('other.example'))
      const report = await probe(port, '--other-servername', 'other.example')
      expect(findingsOf(report)).toContain('warning resumes-across-names')
      expect(report.exitCode).toBe(0)
      const strict = await probe(port, '--other-servername', 'other.example', '--strict', '--attempts', '1')
      expect(strict.exitCode).toBe(1)
    },
  )

  test('offers sessions once more after --wait, and says when it was longer than their lifetime', async () => {
    // Creation times are whole seconds: with less than three, a session may be too old before the wait.
    const { port } = await start({ context: { sessionTimeout: 3 } })
    const report = await probe(port, '--attempts', '2', '--wait', '4.1')
    const outcomes = report.trials.filter(({ kind }) => kind === 'after-wait').map(({ outcome }) => outcome)
    expect(outcomes).toEqual(['full', 'full', 'full', 'full'])
    expect(findingsOf(report)).toContain('note lifetime-over tls13')
  })

  test('shows a client certificate with --cert and --key, and says that one is wanted without', async () => {
    const folder = folderWithCertificate()
    const { port } = await start({
      server: { requestCert: true, rejectUnauthorized: false, ca: certificate.cert },
      attach: { policy: (_name, { peerCertificate }) => (peerCertificate ? 'known' : false) },
    })
    const without = await probe(port, '--attempts', '1')
    expect(findingsOf(without)).toContain('problem never-resumes tls12-id')
    const files = ['--cert', `${folder}/cert.pem`, '--key', `${folder}/key.pem`]
    expect(verdicts(await probe(port, '--attempts', '1', ...files))['tls12-id']).toBe('all')
  })

  test('asks for / with HEAD on each connection with --http, and for no protocol but HTTP/1.1', async () => {
    const requests = new Set<string>()
    const make = (options: https.ServerOptions): https.Server =>
      https.createServer(options, (request, response) => {
        const { alpnProtocol } = request.socket as TLSSocket
        requests.add(`${request.method} ${request.url} ${request.headers.host} ${alpnProtocol}`)
        response.end()
      })
    const { port } = await start({ make })
    const report = await probe(port, '--http', '--attempts', '1')
    expect([...requests].sort()).toEqual([`HEAD / ${NAME} http/1.1`, 'HEAD / sslctx-doctor.invalid http/1.1'])
    expect(verdicts(report)).toEqual({ 'tls12-id': 'all', 'tls12-ticket': nothing, tls13: 'all' })
  })

  test('reports verification, which stops nothing', async () => {
    const folder = folderWithCertificate()
    const { port } = await start()
    const [unknown] = (await probe(port, '--attempts', '1')).endpoints
    expect(unknown?.verifyError).toBe('DEPTH_ZERO_SELF_SIGNED_CERT')
    const [known] = (await probe(port, '--attempts', '1', '--ca', `${folder}/cert.pem`)).endpoints
    expect(known?.verifyError).toBeUndefined()
    expect(known?.certificate?.subject).toBe(`CN=${NAME}`)
  })

  test('ends with 3 when nobody answers, and when what answers is no TLS', async () => {
    const nobody = await run(['doctor', `127.0.0.1:${await freePort()}`])
    expect([nobody.exitCode, nobody.stdout]).toEqual([
      3,
      expect.stringContaining('unreachable: ECONNREFUSED'),
    ])
    const port = await listen(
      net.createServer((socket) => socket.on('error', () => undefined).end('220 hello\r\n')),
    )
    const clear = await doctor(`127.0.0.1:${port}`)
    expect([clear.exitCode, ...findingsOf(clear)]).toEqual([3, 'problem no-tls'])
  })

  test('goes on with the other addresses when one does not answer', async () => {
    const { port } = await start({ make: greet })
    const report = await doctor(`127.0.0.1:${port}`, `127.0.0.1:${await freePort()}`, '--attempts', '1')
    expect(findingsOf(report)).toContain('warning endpoint-unreachable')
    expect(report.exitCode).toBe(0)
  })

  test('goes on with the other servers when a name has no address', async () => {
    const { port } = await start({ make: greet })
    const report = await doctor(`127.0.0.1:${port}`, 'sslctx.invalid', '--attempts', '1')
    expect(findingsOf(report)).toContain('warning endpoint-unreachable')
    expect(report.exitCode).toBe(0)
  })

  test('says for people what resumes how often, the likely reason and the remedy', async () => {
    const { port } = await startStock({})
    const { exitCode, stdout, stderr } = await run(['doctor', `127.0.0.1:${port}`, '--servername', NAME])
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/on the next connection +0 of 5 +- +0 of 5/)
    expect(stdout).toContain('TLS 1.3 never resumes')
    expect(stdout.replace(/\s+/g, ' ')).toContain('no read-ahead of the ClientHello')
    expect(stdout).toContain('ServerSessions of sslctx')
    expect(stdout).not.toContain('\u001b')
    expect(stderr).toBe('')
  })

  test('tells no secret: neither master keys nor tickets, in any output', async () => {
    const secrets: string[] = []
    const { port } = await start({
      context: {
        newSessionCallback: (_connection, session) => {
          const { masterKey, sessionId } = decodeSslSession(session.toDer())
          secrets.push(Buffer.from(masterKey).toString('hex'), Buffer.from(sessionId).toString('hex'))
          return false
        },
      },
    })
    const args = [`127.0.0.1:${port}`, '--attempts', '1']
    const outputs = [await run(['doctor', ...args, '--json']), await run(['doctor', ...args])]
    expect(secrets.length).toBeGreaterThan(10)
    const told = outputs.map(({ stdout, stderr }) => `${stdout}${stderr}`.toLowerCase()).join('')
    expect(secrets.filter((secret) => told.includes(secret))).toEqual([])
  })

  test('shows progress on stderr and colours on stdout at a terminal, and no colours with NO_COLOR', async () => {
    const { port } = await start()
    const args = ['doctor', `127.0.0.1:${port}`, '--attempts', '1']
    const colourful = await run(args, { isTerminal: true })
    expect(colourful.stderr).toContain(`127.0.0.1:${port} tls13: attempt 1`)
    expect(colourful.stderr.endsWith('\r\u001b[K')).toBe(true)
    expect(colourful.stdout).toContain('\u001b[32mok\u001b[39m')
    const plain = await run(args, { isTerminal: true, env: { NO_COLOR: '1' } })
    expect(plain.stdout).not.toContain('\u001b')
  })
})
