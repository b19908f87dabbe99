import { describe, expect, test } from 'vitest'
import { unreachableFinding } from '../../../src/cli/connection-findings.ts'
import { diagnose, judgeRates } from '../../../src/cli/diagnosis.ts'
import { type ExaminationPlan, examine } from '../../../src/cli/examination.ts'
import { HandshakeError } from '../../../src/cli/failure.ts'
import type { Rate } from '../../../src/cli/findings.ts'
import { refusedVersionFinding } from '../../../src/cli/handshake-findings.ts'
import { merged } from '../../../src/cli/merged-findings.ts'
import type { Endpoint, Handshake, HandshakeWish } from '../../../src/cli/probe.ts'
import {
  neitherIdsNorTickets,
  noIds,
  noTickets,
  noTls13Tickets,
} from '../../../src/cli/resumption-findings.ts'
import { lifetimeOver, lost, notSharedBetween } from '../../../src/cli/sharing-findings.ts'
import { sessionDer } from './run-command.ts'

/** A server of whatever kind, as far as its clients can see. */
interface Behaviour {
  /** Each with a cache of its own; connections go to them in turn, or as the draw decides. */
  readonly workers?: number
  /** The second worker is there from this connection on. */
  readonly joinsAfter?: number
  /** How many sessions a worker keeps. */
  readonly cacheSize?: number
  readonly isSingleUse?: boolean
  /** Sends a new ticket on resumed connections too. */
  readonly renews?: boolean
  readonly ticketBytes?: number
  readonly lifetimeSec?: number
  readonly certificateOf?: (name: string | undefined) => string
  readonly bindsNames?: boolean
  /** What is thrown when a known session is offered. */
  readonly breaksWith?: string
  /** Whose sessions it takes besides its own. */
  readonly trusts?: readonly number[]
  readonly onConnection?: (count: number) => void
}

const settings = { timeoutMs: 1000, alpn: [], isHttp: false }

/** TLS 1.3 alone, so that a finding is said once. */
class Simulation {
  readonly #behaviours: ReadonlyMap<number, Behaviour>
  readonly #caches: Map<string, string[]> = new Map()
  #connections = 0
  #sessions = 0
  nowMs = 0

  constructor(behaviours: Readonly<Record<number, Behaviour>>) {
    this.#behaviours = new Map(Object.entries(behaviours).map(([port, one]) => [Number(port), one]))
  }

  async shakeHands({ endpoint, method, servername, session }: HandshakeWish): Promise<Handshake> {
    const behaviour = this.#behaviours.get(endpoint.port)
    if (behaviour === undefined) throw new HandshakeError('ECONNREFUSED', 'nobody is there')
    if (method !== 'tls13' && method !== 'any')
      throw new HandshakeError('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'TLS 1.3 only')
    const { workers = 1, joinsAfter = 0 } = behaviour
    behaviour.onConnection?.(this.#connections)
    const worker = this.#connections++ % (this.#connections > joinsAfter ? workers : 1)
    const known = session && this.#find(endpoint, worker, behaviour, session, servername)
    if (known && behaviour.breaksWith !== undefined) throw new HandshakeError(behaviour.breaksWith, 'alert')
    const fingerprint = behaviour.certificateOf?.(servername) ?? 'one'
    return {
      resumed: known === true,
      latencyMs: 1,
      sessions:
        (known && !behaviour.renews) || behaviour.ticketBytes === 0
          ? []
          : [this.#make(endpoint, worker, behaviour, servername)],
      ...(!known && { certificate: { subject: 'CN=x', issuer: 'CN=x', validTo: 'later', fingerprint } }),
    }
  }

  #make({ port }: Endpoint, worker: number, behaviour: Behaviour, name: string | undefined): Uint8Array {
    const sessionId = Buffer.alloc(32)
    sessionId.writeUInt32BE(++this.#sessions)
    const cache = this.#cache(port, worker)
    cache.push(`${sessionId.toString('hex')} ${this.#nameIn(behaviour, name)}`)
    if (cache.length > (behaviour.cacheSize ?? 1000)) cache.shift()
    return sessionDer({
      sessionId,
      ticket: new Uint8Array(behaviour.ticketBytes ?? 200),
      ticketLifetimeHintSec: BigInt(behaviour.lifetimeSec ?? 7200),
      timeSec: 1_600_000_000,
    })
  }

  #find(
    { port }: Endpoint,
    worker: number,
    behaviour: Behaviour,
    session: Uint8Array,
    name: string | undefined,
  ): boolean {
    if (this.nowMs > (behaviour.lifetimeSec ?? 7200) * 1000) return false
    const id = Buffer.from(session).toString('hex')
    for (const owner of [port, ...(behaviour.trusts ?? [])]) {
      const cache = this.#cache(owner, worker)
      const index = cache.findIndex((entry) => {
        const [known = '', knownName] = entry.split(' ')
        return id.includes(known) && knownName === this.#nameIn(behaviour, name)
      })
      if (index < 0) continue
      if (behaviour.isSingleUse) cache.splice(index, 1)
      return true
    }
    return false
  }

  #nameIn(behaviour: Behaviour, name: string | undefined): string {
    return behaviour.bindsNames ? (name ?? '-') : '-'
  }

  #cache(port: number, worker: number): string[] {
    const key = `${port} ${worker}`
    const cache = this.#caches.get(key) ?? []
    this.#caches.set(key, cache)
    return cache
  }

  forgetAll(): void {
    this.#caches.clear()
  }
}

interface Wishes extends Partial<ExaminationPlan> {
  readonly hasTime?: () => boolean
  readonly onSleep?: (simulation: Simulation) => void
}

/** The findings of TLS 1.3, `problem not-shared`. */
async function findings(
  behaviours: Readonly<Record<number, Behaviour>>,
  plan: Wishes = {},
): Promise<string[]> {
  return (await diagnosisOf(behaviours, plan))
    .filter(({ id }) => id !== 'version-refused')
    .map(({ severity, id }) => `${severity} ${id}`)
}

async function diagnosisOf(
  behaviours: Readonly<Record<number, Behaviour>>,
  { onSleep, hasTime = () => true, ...plan }: Wishes = {},
): Promise<ReturnType<typeof diagnose>> {
  const simulation = new Simulation(behaviours)
  let draw = 0
  const examination = await examine(
    {
      endpoints: Object.keys(behaviours).map((port) => ({ address: '192.0.2.1', port: Number(port) })),
      servername: 'server.example',
      otherNames: [],
      attempts: 5,
      waitSec: 0,
      settings,
      ...plan,
    },
    {
      shakeHands: (wish) => simulation.shakeHands(wish),
      sleep: async (milliseconds) => {
        simulation.nowMs += milliseconds
        onSleep?.(simulation)
      },
      // Of low discrepancy, and always the same.
      random: () => (draw = (draw + 0.618034) % 1),
      onStep: () => undefined,
      hasTime,
    },
  )
  return diagnose(examination)
}

describe('a server at one endpoint', () => {
  test('that resumes everything is fine', async () => {
    expect(await findings({ 1: {} })).toEqual(['ok resumes'])
  })

  test.each([2, 3, 4])(
    'with %i workers that share nothing is told from one that never resumes',
    async (workers) => {
      const [finding] = await diagnosisOf({ 1: { workers } })
      expect([finding?.severity, finding?.id]).toEqual(['problem', 'not-shared'])
    },
  )

  test('that a second worker joins meanwhile is told from one with a small cache', async () => {
    expect(await findings({ 1: { workers: 2, joinsAfter: 22 } })).toEqual(['problem not-shared'])
  })

  test('that keeps nothing never resumes', async () => {
    expect(await findings({ 1: { cacheSize: 0 } })).toEqual(['problem never-resumes'])
  })

  test.each([
    [32, /no read-ahead of the ClientHello/],
    [200, /random ticket keys/],
  ])('that never resumes tickets of %i bytes has its own likely reason', async (ticketBytes, reason) => {
    const [finding] = await diagnosisOf({ 1: { cacheSize: 0, ticketBytes } })
    expect(finding?.reasons[0]).toMatch(reason)
  })

  test('that takes each session once is told from one with a small cache', async () => {
    expect(await findings({ 1: { isSingleUse: true } })).toEqual(['warning single-use'])
    expect(await findings({ 1: { cacheSize: 1 } })).toEqual(['problem cache-too-small'])
    expect(await findings({ 1: { cacheSize: 1, renews: true } })).toEqual(['problem cache-too-small'])
    expect(await findings({ 1: { cacheSize: 3 } })).toEqual(['problem cache-too-small'])
  })

  test('that sends no tickets gives nothing to resume with', async () => {
    expect(await findings({ 1: { ticketBytes: 0 } })).toEqual(['problem nothing-to-resume-with'])
  })

  test('that breaks the handshake when a session is offered is told why, by the alert', async () => {
    const [internal] = await diagnosisOf({ 1: { breaksWith: 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR' } })
    expect([internal?.id, internal?.reasons[0]]).toEqual([
      'offer-breaks-handshake',
      expect.stringContaining('no session id context is set'),
    ])
    const [binder] = await diagnosisOf({ 1: { breaksWith: 'ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR' } })
    expect([binder?.id, binder?.reasons[0]]).toEqual([
      'offer-breaks-handshake',
      expect.stringContaining('another session than the one that was offered'),
    ])
  })

  test('that announces more than seven days is warned of, and one of seven days is not', async () => {
    expect(await findings({ 1: { lifetimeSec: 604_801 } })).toContain('warning lifetime-too-long')
    expect(await findings({ 1: { lifetimeSec: 604_800 } })).not.toContain('warning lifetime-too-long')
  })
})

describe('after a wait', () => {
  test('what was announced to be over is a note', async () => {
    expect(await findings({ 1: { lifetimeSec: 60 } }, { waitSec: 61 })).toEqual([
      'note lifetime-over',
      'ok resumes',
    ])
  })

  test('what was announced to live and is gone is a problem', async () => {
    const onSleep = (simulation: Simulation): void => simulation.forgetAll()
    expect(await findings({ 1: {} }, { waitSec: 10, onSleep })).toEqual([
      'problem lost-while-waiting',
      'ok resumes',
    ])
  })

  test('what still resumes is fine', async () => {
    expect(await findings({ 1: {} }, { waitSec: 60 })).toEqual(['ok resumes'])
  })
})

describe('several endpoints', () => {
  test('that trust each other are fine', async () => {
    expect(await findings({ 1: { trusts: [2] }, 2: { trusts: [1] } })).toEqual(['ok resumes', 'ok resumes'])
  })

  test('that share nothing have that problem in both directions', async () => {
    expect(await findings({ 1: {}, 2: {} })).toEqual([
      'problem not-shared-between-endpoints',
      'problem not-shared-between-endpoints',
      'ok resumes',
      'ok resumes',
    ])
  })

  test('of which one takes the sessions of the other, and not the reverse, may have clocks that differ', async () => {
    const [finding] = await diagnosisOf({ 1: { trusts: [2] }, 2: {} })
    expect([finding?.id, finding?.endpoint, finding?.reasons[0]]).toEqual([
      'one-way-between-endpoints',
      '192.0.2.1:2',
      expect.stringContaining('clocks differ'),
    ])
  })

  test('of which one does not resume at home are not blamed for what it makes', async () => {
    const all = await diagnosisOf({ 1: { cacheSize: 0 }, 2: { trusts: [1] } })
    expect(all.filter(({ id }) => id.includes('between-endpoints')).map(({ endpoint }) => endpoint)).toEqual([
      '192.0.2.1:1',
    ])
  })

  test('one of which does not answer are examined without it', async () => {
    const endpoints = [1, 9].map((port) => ({ address: '192.0.2.1', port }))
    expect(await findings({ 1: {} }, { endpoints })).toEqual(['warning endpoint-unreachable', 'ok resumes'])
  })
})

describe('an examination ends', () => {
  test('when its time is over, and tells what it has seen', async () => {
    let left = 12
    const all = await findings({ 1: {} }, { hasTime: () => left-- > 0 })
    expect(all).toEqual(['warning cut-short', 'ok resumes'])
  })

  test('soon, where a server keeps it waiting as soon as a session is offered', async () => {
    const connections: number[] = []
    const onConnection = (count: number): void => void connections.push(count)
    const [finding] = await diagnosisOf({ 1: { breaksWith: 'ERR_TIMEOUT', onConnection } }, { attempts: 100 })
    expect([finding?.id, finding?.reasons[0]]).toEqual([
      'offer-breaks-handshake',
      expect.stringContaining('never ends'),
    ])
    expect(connections.length).toBeLessThan(10)
  })
})

describe('for people, findings of several addresses', () => {
  const endpoints = [1, 2, 3].map((port) => ({ address: '192.0.2.1', port }))
  const labels = endpoints.map(({ port }) => `192.0.2.1:${port}`)

  test('that are the same are said once', async () => {
    const all = await diagnosisOf({ 1: { cacheSize: 0 }, 2: { cacheSize: 0 }, 3: {} }, { endpoints })
    const never = merged(all, labels).filter(({ id }) => id === 'never-resumes')
    expect(never.map(({ what }) => what)).toEqual([
      expect.stringContaining('never resumes at 192.0.2.1:1 and 192.0.2.1:2: 0 of 15'),
    ])
  })

  test('that name two addresses are said once, with all pairs', async () => {
    const all = await diagnosisOf({ 1: {}, 2: {}, 3: {} }, { endpoints })
    const [first, ...others] = merged(all, labels)
    expect(others.map(({ id }) => id)).toEqual(['version-refused', 'resumes'])
    expect(first?.what).toContain('made at 192.0.2.1:1 resume at 192.0.2.1:2 0 of 5 times. Likewise ')
    expect(first?.what).toContain('192.0.2.1:3 > 192.0.2.1:2.')
  })

  test.each([
    ['no-tickets', noTickets, 'gives'],
    ['no-session-ids', noIds, 'gives'],
    ['nothing-to-resume-with', neitherIdsNorTickets, 'gives'],
    ['nothing-to-resume-with', noTls13Tickets, 'sends'],
    ['endpoint-unreachable', (label: string) => unreachableFinding(label, 'ECONNREFUSED', false), 'cannot'],
  ])('that are the subject of %s agree with their verb', (id, findingOf, verb) => {
    const [one, two, three] = labels
    const [finding, ...others] = merged(labels.map(findingOf), labels)
    expect([finding?.id, others]).toEqual([id, []])
    expect(finding?.what).toMatch(new RegExp(`^${one} ${verb} .*\\. Likewise ${two} and ${three}\\.$`))
  })

  test('that are the subject behind a version agree with their verb, too', () => {
    const failure = { kind: 'closed', code: 'ECONNRESET' } as const
    const client = { servername: undefined, hasCertificate: false, isInsecure: false, alpn: [] }
    const refused = labels.map((endpoint) =>
      refusedVersionFinding({ method: 'tls13', endpoint, support: 'failed', failure }, client, false),
    )
    expect(merged(refused, labels).map(({ what }) => what)).toEqual([
      `TLS 1.3: ${labels[0]} accepts the connection and ends it without a word (ECONNRESET). Likewise ${labels[1]} and ${labels[2]}.`,
    ])
  })

  test('that differ are kept apart', async () => {
    const all = await diagnosisOf({ 1: { cacheSize: 0 }, 2: { workers: 2 }, 3: {} }, { endpoints })
    expect(merged(all, labels).filter(({ severity }) => severity === 'problem').length).toBeGreaterThan(1)
  })
})

describe('a count agrees with what is counted', () => {
  const subject = { method: 'tls13', endpoint: '192.0.2.1:1' } as const
  const token = { kind: 'stateless-ticket', bytes: 200, lifetimeSec: 1 } as const
  const rate = { resumed: 0, failed: 2, offered: 5 }

  test('of seconds', () => {
    expect(lifetimeOver(subject, token, 1).what).toContain(
      'after 1 second; the server has announced 1 second.',
    )
    expect(lost(subject, { ...token, lifetimeSec: 60 }, 1.5, rate).what).toContain(
      'after 1.5 seconds, sessions of 192.0.2.1:1 resume 0 of 5 times, and 2 failed; the server has announced 60 seconds.',
    )
  })

  test('of times', () => {
    const { what } = notSharedBetween({ method: 'tls13', from: 'a', to: 'b' }, rate, token)
    expect(what).toBe('TLS 1.3: sessions made at a resume at b 0 of 5 times, and 2 failed.')
  })
})

describe('another server name', () => {
  const otherNames = ['other.example']

  test('that has another certificate, and takes the session, is a warning', async () => {
    const certificateOf = (name: string | undefined): string => name ?? 'none'
    expect(await findings({ 1: { certificateOf } }, { otherNames })).toEqual([
      'warning resumes-across-names',
      'ok resumes',
    ])
  })

  test('that has the same certificate, and takes the session, is a note', async () => {
    expect(await findings({ 1: {} }, { otherNames })).toEqual(['note name-not-checked', 'ok resumes'])
  })

  test('that does not take it is as it should be', async () => {
    expect(await findings({ 1: { bindsNames: true } }, { otherNames })).toEqual([
      'note bound-to-name',
      'ok resumes',
    ])
  })

  test('says nothing where nothing resumes under its own', async () => {
    expect(await findings({ 1: { cacheSize: 0 } }, { otherNames })).toEqual(['problem never-resumes'])
  })
})

describe('a handshake that fails by chance', () => {
  const forgetsByAge = true
  const rate = (resumed: number, failed: number, offered: number): Rate => ({ resumed, failed, offered })

  test('does not make of a server that resumes one that does not', () => {
    expect(
      judgeRates({
        next: rate(4, 1, 5),
        again: rate(5, 0, 5),
        later: rate(5, 0, 5),
        all: rate(14, 1, 15),
        forgetsByAge,
      }),
    ).toBe('resumes')
  })

  test('counts when nothing resumes', () => {
    expect(
      judgeRates({
        next: rate(0, 1, 5),
        again: rate(0, 0, 5),
        later: rate(0, 0, 5),
        all: rate(0, 1, 15),
        forgetsByAge,
      }),
    ).toBe('offer-breaks-handshake')
  })

  test('leaves no verdict when nothing was offered', () => {
    const none = rate(0, 0, 0)
    expect(judgeRates({ next: none, again: none, later: none, all: none, forgetsByAge })).toBeUndefined()
  })
})
