import { randomBytes } from 'node:crypto'
import { KeyRing, MemoryStore, type StoreEntry, sealed } from '../../../src/index.ts'
import { delegate } from '../../tools/delegate.ts'
import { V2 } from '../../tools/session-fields.ts'
import { type Engine, garbage, type Spoil } from './engines.ts'

export interface World {
  readonly engine: Engine
  /** Clients offer ids that nobody has issued. */
  forge(isOn: boolean): void
}

export interface Condition {
  readonly title: string
  /** Reasons of full handshakes, one of which must have been there, or the trouble was none. */
  readonly felt: readonly string[]
  /** Milliseconds over which the handshakes of the recovery are spread: breakers and clients try again by the clock. */
  readonly recoveryMs: number
  /** While clients connect. */
  begin(world: World): Promise<void>
  end(world: World): Promise<void>
}

/**
 * The breaker asks again after 1 s, and a memcached that could not be reached is tried after 2 s at most: a try that comes just
 * too early costs a second more.
 */
const RECONNECTION_MS = 3500
const AT_ONCE = 0
const nothing = async (): Promise<void> => undefined

export function conditions(isEmbedded: boolean): readonly Condition[] {
  return [
    { title: 'normal', felt: [], recoveryMs: AT_ONCE, begin: nothing, end: nothing },
    {
      title: 'cleared: all entries deleted, one by one',
      felt: ['not-found'],
      recoveryMs: AT_ONCE,
      begin: ({ engine }) => engine.deleteAll(),
      end: nothing,
    },
    {
      title: 'ids that nobody issued',
      felt: ['not-found'],
      recoveryMs: AT_ONCE,
      begin: async ({ forge }) => forge(true),
      end: async ({ forge }) => forge(false),
    },
    {
      title: 'flushed in mid-run',
      felt: ['not-found'],
      recoveryMs: AT_ONCE,
      begin: ({ engine }) => engine.flush(),
      end: nothing,
    },
    {
      title: isEmbedded
        ? 'one server killed with SIGKILL in mid-write, and started again'
        : 'killed with SIGKILL, and started again',
      felt: isEmbedded ? [] : ['callback-failed', 'not-found'],
      recoveryMs: RECONNECTION_MS,
      begin: ({ engine }) => engine.kill(),
      end: ({ engine }) => engine.restart(),
    },
    {
      title: 'unreachable',
      felt: ['callback-failed'],
      recoveryMs: RECONNECTION_MS,
      begin: ({ engine }) => engine.trouble('unreachable'),
      end: ({ engine }) => engine.trouble('none'),
    },
    {
      title: 'answering after 10 s',
      felt: ['callback-failed', 'lookup-timeout'],
      recoveryMs: RECONNECTION_MS,
      begin: ({ engine }) => engine.trouble('slow'),
      end: ({ engine }) => engine.trouble('none'),
    },
    {
      title: 'refusing to write: full, read-only, or not permitted',
      felt: ['not-found'],
      recoveryMs: RECONNECTION_MS,
      begin: ({ engine }) => engine.trouble('refusing'),
      end: ({ engine }) => engine.trouble('none'),
    },
    {
      title: 'rejecting long after the deadline',
      felt: ['callback-failed', 'lookup-timeout'],
      recoveryMs: RECONNECTION_MS,
      begin: ({ engine }) => engine.trouble('rejecting-late'),
      end: ({ engine }) => engine.trouble('none'),
    },
    spoiling(),
  ]
}

const ROUND_PAUSE_MS = 100

/** Again and again while it lasts, since each full handshake brings something sound. */
function spoiling(): Condition {
  let isOn = false
  let done: Promise<void> | undefined
  const goOn = async ({ engine }: World, spoil: Spoil): Promise<void> => {
    while (isOn) {
      await engine.spoil(spoil)
      await new Promise((resolve) => setTimeout(resolve, ROUND_PAUSE_MS))
    }
  }
  return {
    title: 'garbage and foreign values in it',
    felt: ['unopenable'],
    recoveryMs: AT_ONCE,
    async begin(world) {
      isOn = true
      const foreign = await sealedByAnother()
      await world.engine.spoil(garbage({ random: randomBytes, foreign, der: V2 }))
      done = goOn(world, garbage({ random: randomBytes, foreign, der: V2 }))
      done.catch(() => undefined)
    },
    async end() {
      isOn = false
      await done
    },
  }
}

async function sealedByAnother(): Promise<Uint8Array> {
  const kept: StoreEntry[] = []
  const capture = {
    ...delegate(new MemoryStore()),
    set: (entries: readonly StoreEntry[]) => void kept.push(...entries),
  }
  const store = sealed(capture, new KeyRing([randomBytes(32)]))
  await store.set([{ key: randomBytes(32), value: V2, expiresAtMs: Date.now() + 3_600_000 }])
  return kept[0]!.value
}
