import tls from 'node:tls'
import { describe, expect, test } from 'vitest'
import { MemoryStore, ServerSessions, type ServerSessionsOptions } from '../../../src/index.ts'
import { nodeFeatures } from '../../../src/node/node-engine.ts'
import { certificate, connect } from '../../tools/node-servers.ts'
import { engine, SECRET } from './engine.ts'
import { codeOf, type Process, startProcess } from './fleet.ts'

/** What may be given, each to be combined with each other. */
const AXES = {
  secrets: [undefined, [SECRET]],
  store: [false, true],
  plaintext: [undefined, true],
  tickets: [undefined, true, false],
  singleUse: [undefined, true],
  waitForStore: [undefined, true],
  policy: [undefined, () => 'customers'],
  revocations: [undefined, {}, false],
} as const

type Combination = { readonly [Axis in keyof typeof AXES]: (typeof AXES)[Axis][number] }

function combinations(): Combination[] {
  let all: Record<string, unknown>[] = [{}]
  for (const [axis, values] of Object.entries(AXES))
    all = all.flatMap((one) => values.map((value: unknown) => ({ ...one, [axis]: value })))
  return all as unknown as Combination[]
}

function titleOf(combination: Combination): string {
  const given = Object.entries(combination).filter(([, value]) => value !== undefined && value !== false)
  const off = Object.entries(combination).filter(([axis, value]) => value === false && axis !== 'store')
  return [...given.map(([axis]) => axis), ...off.map(([axis]) => `no ${axis}`)].join(', ') || 'nothing'
}

/** Without what is undefined: `secrets: undefined` is an error of its own. */
function optionsOf({ store, ...others }: Combination, memory: MemoryStore): ServerSessionsOptions {
  const options = { name: 'shop', ...others, ...(store && { store: engine(memory) }) }
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as unknown as ServerSessionsOptions
}

/** The specification: why it cannot be. */
function whyNot(combination: Combination): string | undefined {
  const { secrets, store, plaintext, tickets, singleUse, waitForStore, revocations } = combination
  const refused =
    (!store && (plaintext || waitForStore || typeof revocations === 'object')) ||
    (!secrets && (tickets === true || typeof revocations === 'object')) ||
    (tickets === true && (singleUse || waitForStore)) ||
    (secrets && !store && (singleUse || tickets === false))
  if (refused) return 'ERR_ARGUMENT_INVALID'
  return store && !secrets && !plaintext ? 'ERR_STORE_UNSEALED' : undefined
}

interface Behaviour {
  /** How a session of one process resumes in another one; undefined where it does not. */
  readonly elsewhere: Readonly<Record<'TLSv1.2' | 'TLSv1.3', string | undefined>>
  readonly usedTwice: boolean
  readonly revoke: string
}

/** The specification: what it does. */
function behaviourOf({
  secrets,
  store,
  tickets,
  singleUse,
  waitForStore,
  revocations,
}: Combination): Behaviour {
  const hasTickets = secrets !== undefined && tickets !== false && !singleUse && !waitForStore
  const stored = store ? 'external' : undefined
  return {
    elsewhere: { 'TLSv1.2': stored, 'TLSv1.3': hasTickets ? 'ticket' : stored },
    usedTwice: !singleUse,
    revoke: store && secrets && revocations !== false ? 'none' : 'ERR_REVOCATION_UNAVAILABLE',
  }
}

const waitsInTls13 = nodeFeatures(tls.createSecureContext(certificate)).hasEarlyClientHello

/** One connection. @returns why it resumed; undefined when it did not */
async function comeBack(to: Process, session: Buffer | undefined, maxVersion: tls.SecureVersion) {
  const { resumed } = await connect(to, session, { maxVersion })
  return resumed ? to.handshakes.at(-1)?.reason : undefined
}

async function tryOut(combination: Combination): Promise<Behaviour> {
  const memory = new MemoryStore()
  const options = (): ServerSessionsOptions => optionsOf(combination, memory)
  // What a Node cannot do in TLS 1.3 is refused at attach, which another test looks at.
  const server = combination.waitForStore && !waitsInTls13 ? { maxVersion: 'TLSv1.2' as const } : {}
  const here = await startProcess(options(), server)
  const there = await startProcess(options(), server)
  const elsewhere: Record<'TLSv1.2' | 'TLSv1.3', string | undefined> = {
    ...behaviourOf(combination).elsewhere,
  }
  let usedTwice = !combination.singleUse
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    if (version === 'TLSv1.3' && 'maxVersion' in server) continue
    const { session } = await connect(here, undefined, { maxVersion: version })
    elsewhere[version] = await comeBack(there, session, version)
    const { session: next } = await connect(here, undefined, { maxVersion: version })
    expect(await comeBack(here, next, version), `${version} in the same process`).toBeDefined()
    if (version === 'TLSv1.3') usedTwice = (await comeBack(here, next, version)) !== undefined
  }
  const revoke = await codeOf(() => there.sessions.revokeAll())
  if (revoke === 'none') {
    const { session } = await connect(here)
    await there.sessions.revokeAll({ madeBeforeMs: Date.now() })
    await here.sessions.revocations?.refresh()
    expect(await comeBack(here, session, 'TLSv1.3'), 'revoked').toBe(undefined)
  }
  await Promise.all([here.sessions.close(), there.sessions.close()])
  return { elsewhere, usedTwice, revoke }
}

const all = combinations()
const possible = all.filter((one) => whyNot(one) === undefined)

describe('ServerSessions', () => {
  test('refuses what cannot be, by one code, and says what to write', async () => {
    const impossible = all.filter((one) => whyNot(one) !== undefined)
    expect(impossible.length).toBeGreaterThan(100)
    for (const combination of impossible) {
      const make = () => new ServerSessions(optionsOf(combination, new MemoryStore()))
      expect(await codeOf(make), titleOf(combination)).toBe(whyNot(combination))
      expect(make, titleOf(combination)).toThrow(/leave|give|need/)
    }
  })

  test.each(possible.map((one) => [titleOf(one), one] as const))(
    'with %s does what it says, in two processes and both versions',
    async (_, combination) => {
      expect(await tryOut(combination)).toEqual(behaviourOf(combination))
    },
  )
})
