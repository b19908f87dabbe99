import { isBindingRelease } from '../../src/node/node-session-context.ts'
import type { Verdict } from './doctor.ts'
import { startGo, startHaproxy, startNginx, startOpenssl } from './foreign-servers.ts'
import { start, startStock } from './node-servers.ts'
import { missingCommand } from './peers.ts'

export const openssl = missingCommand('openssl', 'version')
export const nginx = openssl ?? missingCommand('nginx', '-v')
export const haproxy = openssl ?? missingCommand('haproxy', '-v')
export const go = openssl ?? missingCommand('go', 'version')

/** A server whose kind is known, and what the doctor is to say of it. */
export interface Peer {
  readonly name: string
  readonly problem?: string | undefined
  readonly start: () => Promise<number>
  readonly verdicts: readonly [byId: Verdict, byTicket: Verdict, tls13: Verdict]
  readonly findings: readonly string[]
  readonly exitCode: 0 | 1
}

export const nothing = 'nothing offered'
const UNCHECKED = 'note name-not-checked'
const BOUND = 'note bound-to-name'
/** Why no session of a stock server resumes under another name; empty where one does. */
export const boundBy: string = isBindingRelease()
  ? ` (Node ${process.versions.node} binds its sessions to names)`
  : ''
/** Of a Node server without the library. */
export const STOCK_NAMES: string = isBindingRelease() ? BOUND : UNCHECKED

export const peers: readonly Peer[] = [
  {
    name: 'openssl s_server',
    problem: openssl,
    start: () => startOpenssl(),
    verdicts: ['all', 'all', 'all'],
    findings: [UNCHECKED],
    exitCode: 0,
  },
  {
    name: 'openssl s_server -no_cache',
    problem: openssl,
    start: () => startOpenssl('-no_cache'),
    verdicts: [nothing, 'all', 'all'],
    findings: ['note no-session-ids tls12-id', UNCHECKED],
    exitCode: 0,
  },
  {
    name: 'openssl s_server -no_ticket',
    problem: openssl,
    start: () => startOpenssl('-no_ticket'),
    verdicts: ['all', nothing, 'all'],
    findings: ['note no-tickets tls12-ticket', UNCHECKED],
    exitCode: 0,
  },
  {
    name: 'openssl s_server -no_cache -no_ticket',
    problem: openssl,
    start: () => startOpenssl('-no_cache', '-no_ticket'),
    verdicts: [nothing, nothing, 'none'],
    findings: ['problem nothing-to-resume-with tls12-id', 'problem never-resumes tls13'],
    exitCode: 1,
  },
  {
    name: 'nginx with a shared cache',
    problem: nginx,
    start: () => startNginx('listen $PORT ssl; ssl_session_cache shared:sessions:1m;'),
    verdicts: ['all', 'all', 'all'],
    findings: [UNCHECKED],
    exitCode: 0,
  },
  {
    name: 'nginx with a shared cache and without tickets',
    problem: nginx,
    start: () =>
      startNginx('listen $PORT ssl; ssl_session_cache shared:sessions:1m; ssl_session_tickets off;'),
    verdicts: ['all', nothing, 'all'],
    findings: ['note no-tickets tls12-ticket', UNCHECKED],
    exitCode: 0,
  },
  {
    name: 'nginx as it comes, without a shared cache',
    problem: nginx,
    start: () => startNginx('listen $PORT ssl;'),
    verdicts: ['none', 'all', 'all'],
    findings: ['note never-resumes tls12-id', UNCHECKED],
    exitCode: 0,
  },
  {
    name: 'haproxy as it comes',
    problem: haproxy,
    start: () => startHaproxy(''),
    verdicts: ['all', 'all', 'all'],
    findings: [UNCHECKED],
    exitCode: 0,
  },
  {
    name: 'haproxy without cache and tickets',
    problem: haproxy,
    start: () => startHaproxy('no-tls-tickets', 'tune.ssl.cachesize 0'),
    verdicts: [nothing, nothing, 'none'],
    findings: ['problem nothing-to-resume-with tls12-id', 'problem never-resumes tls13'],
    exitCode: 1,
  },
  {
    name: 'a Go server',
    problem: go,
    start: () => startGo('on'),
    verdicts: [nothing, 'all', 'all'],
    findings: ['note no-session-ids tls12-id', UNCHECKED],
    exitCode: 0,
  },
  {
    name: 'a Go server without tickets',
    problem: go,
    start: () => startGo('off'),
    verdicts: [nothing, nothing, nothing],
    findings: ['problem nothing-to-resume-with tls12-id', 'problem nothing-to-resume-with tls13'],
    exitCode: 1,
  },
  {
    name: 'stock Node',
    problem: openssl,
    start: async () => (await startStock({ server: { secureOptions: 0 } })).port,
    verdicts: ['none', 'all', 'all'],
    findings: ['note never-resumes tls12-id', STOCK_NAMES],
    exitCode: 0,
  },
  {
    name: 'Node with sslctx',
    problem: openssl,
    start: async () => (await start()).port,
    verdicts: ['all', nothing, 'all'],
    findings: ['note no-tickets tls12-ticket', BOUND],
    exitCode: 0,
  },
]
