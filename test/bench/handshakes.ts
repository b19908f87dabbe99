import type { Certificate } from '../tools/certificate.ts'
import { missingCommand } from '../tools/peers.ts'
import type { Benchmark, Peer, Side } from './compare.ts'
import { nginxServer } from './nginx.ts'
import { tasksetProblem } from './programs.ts'
import type { ServerKind } from './sides/tls-server.ts'
import { type FloorKind, idleHeap, type LoadKind, nodeServer, serverCpu } from './tls-load.ts'

/** What the servers of a row have in common. */
export interface Setting {
  /** Such as "Node 20.20.2, ECDSA". */
  readonly name: string
  /** Of the servers; the clients are always this Node's. */
  readonly binary: string
  readonly certificate: Certificate
}

const PAIRS = 120
/** Of each side in a pair: many that are short, since what disturbs a machine then disturbs both sides. */
const TURNS = 25
/** What a server may cost beside the least code that does the same. */
const TARGET = 1.05
/** The same of a ticket, whose session has to be decoded to be judged. */
const TICKET_TARGET = 1.1
const JOB = 'the least code that does the job'
/** What an idle connection may take beyond Node's own. */
const IDLE_BYTES = 1024

/** A row for each setting. */
export function handshakeBenchmarks(settings: readonly Setting[]): Benchmark[] {
  return settings.flatMap((setting) => settingBenchmarks(setting))
}

function settingBenchmarks(setting: Setting): Benchmark[] {
  const cpu = (kind: ServerKind | FloorKind, load: LoadKind): Side =>
    serverCpu(() => nodeServer(kind, setting), load)
  const peer = (name: string, kind: ServerKind | FloorKind, load: LoadKind, target: number | null): Peer => ({
    name,
    missing: tasksetProblem,
    measure: cpu(kind, load),
    target,
  })
  const row = (
    name: string,
    what: string,
    load: LoadKind,
    peers: readonly Peer[],
    kind: ServerKind | FloorKind = 'attached',
  ): Benchmark => ({
    name,
    what: `server CPU of ${what}, ${setting.name}`,
    unit: 'us',
    rounds: PAIRS,
    turns: TURNS,
    isPaired: true,
    ours: cpu(kind, load),
    peers,
  })
  const tls12 = { version: 'TLSv1.2', resumes: true } as const
  const tls13 = { version: 'TLSv1.3', resumes: true } as const
  const full = (name: string, version: LoadKind['version']): Benchmark => {
    const load = { version, resumes: false }
    return row(name, `a full handshake, ${version}`, load, [
      peer('Node without tickets and listeners', 'stock', load, TARGET),
      peer('a Map in its listeners', 'map', load, null),
      peer(JOB, 'job', load, null),
    ])
  }
  return [
    row('tls13-resume', 'a resumed handshake, TLS 1.3', tls13, [
      peer('the least code that reads ahead', 'floor', tls13, TARGET),
      peer(JOB, 'job', tls13, null),
      peer("Node's stateless tickets", 'tickets', tls13, null),
      peer('ours with all channels heard', 'heard', tls13, null),
    ]),
    row('tls12-resume', 'a resumed handshake, TLS 1.2', tls12, [
      peer('a Map in its listeners', 'map', tls12, TARGET),
      peer(JOB, 'job', tls12, null),
    ]),
    row(
      'tls13-ticket',
      'a handshake resumed by a judged ticket, TLS 1.3',
      tls13,
      [
        peer('the least code that opens and renews it', 'ticket-floor', tls13, TICKET_TARGET),
        peer("Node's stateless tickets, not renewed", 'tickets', tls13, null),
      ],
      'ticketed',
    ),
    row(
      'tls13-ticket-refused',
      'a full handshake after a ticket was judged and refused, TLS 1.3',
      { ...tls13, isRefused: true },
      [
        peer('a full handshake of the same server', 'ticketed', { ...tls13, resumes: false }, TARGET),
        peer('a full handshake of Node with tickets', 'tickets', { ...tls13, resumes: false }, null),
      ],
      'refusing',
    ),
    row(
      'tls13-ticket-refused-least',
      'a full handshake after the least code has opened a ticket and refused it, TLS 1.3',
      { ...tls13, isRefused: true },
      [peer('its own full handshake', 'ticket-floor', { ...tls13, resumes: false }, null)],
      'refusing-ticket-floor',
    ),
    full('full', 'TLSv1.3'),
    full('full-tls12', 'TLSv1.2'),
    {
      name: 'idle',
      what: `heap of an idle connection, ${setting.name}`,
      unit: 'bytes',
      target: 1,
      rounds: 3,
      ours: idleHeap(() => nodeServer('attached', setting), 0),
      peers: [
        {
          name: `Node's own, and ${IDLE_BYTES}`,
          missing: tasksetProblem,
          measure: idleHeap(() => nodeServer('stock', setting), IDLE_BYTES),
        },
      ],
    },
  ]
}

/** Beside a server that is written in C. */
export function nginxBenchmark(setting: Setting): Benchmark {
  const load = { version: 'TLSv1.2', resumes: true } as const
  return {
    name: 'nginx',
    what: `server CPU of a resumed handshake, TLS 1.2, ${setting.name}`,
    unit: 'us',
    rounds: PAIRS,
    turns: TURNS,
    isPaired: true,
    ours: serverCpu(() => nodeServer('attached', setting), load),
    peers: [
      {
        name: 'nginx with a shared session cache',
        missing: missingCommand('nginx', '-v') ?? tasksetProblem,
        measure: serverCpu(() => nginxServer(setting.certificate), load),
      },
    ],
  }
}
