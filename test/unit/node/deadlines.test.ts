import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as later } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Deadline, type DeadlineListener, Deadlines } from '../../../src/node/deadlines.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

/** What was told, in its order. */
function listening(): { readonly told: string[]; named(name: string): { hearDeadline(): void } } {
  const told: string[] = []
  return { told, named: (name) => ({ hearDeadline: () => void told.push(name) }) }
}

/** It is set now. */
class Clocked extends Deadlines {
  override set(listener: DeadlineListener): Deadline {
    return super.set(listener, performance.now())
  }
}

describe('each is told when its own time is up', () => {
  it('not a millisecond before', () => {
    const { told, named } = listening()
    new Clocked(100).set(named('one'))
    vi.advanceTimersByTime(99)
    expect(told).toEqual([])
    vi.advanceTimersByTime(1)
    expect(told).toEqual(['one'])
  })

  it('though the timer was set for one that came before it', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    deadlines.set(named('one'))
    vi.advanceTimersByTime(40)
    deadlines.set(named('two'))
    vi.advanceTimersByTime(60)
    expect(told).toEqual(['one'])
    vi.advanceTimersByTime(39)
    expect(told).toEqual(['one'])
    vi.advanceTimersByTime(1)
    expect(told).toEqual(['one', 'two'])
  })

  it('though that was already past while another was told', () => {
    const { told, named } = listening()
    const delays = vi.spyOn(globalThis, 'setTimeout')
    const deadlines = new Clocked(100)
    deadlines.set({ hearDeadline: () => void vi.advanceTimersByTime(50) })
    vi.advanceTimersByTime(20)
    deadlines.set(named('two'))
    vi.advanceTimersByTime(81)
    expect(told).toEqual(['two'])
    // Node warns of a timer that should have fired before.
    for (const [, delayMs] of delays.mock.calls) expect(delayMs).toBeGreaterThan(0)
    delays.mockRestore()
  })

  it('though one was set while another was told', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    const { hearDeadline } = named('one')
    deadlines.set({
      hearDeadline() {
        hearDeadline()
        deadlines.set(named('three'))
      },
    })
    vi.advanceTimersByTime(50)
    deadlines.set(named('two'))
    vi.advanceTimersByTime(100)
    expect(told).toEqual(['one', 'two'])
    vi.advanceTimersByTime(50)
    expect(told).toEqual(['one', 'two', 'three'])
  })

  it('though the timer was one of a test, which has gone since', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    vi.stubGlobal('setTimeout', () => ({ unref: () => undefined }))
    const one = deadlines.set(named('one'))
    deadlines.clear(one)
    vi.unstubAllGlobals()
    deadlines.set(named('two'))
    vi.advanceTimersByTime(100)
    expect(told).toEqual(['two'])
  })

  it('once, though a timer of before was left standing', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    deadlines.set(named('one'))
    const { setTimeout: fake } = globalThis
    vi.stubGlobal('setTimeout', (...args: Parameters<typeof fake>) => fake(...args))
    vi.advanceTimersByTime(10)
    deadlines.set(named('two'))
    vi.unstubAllGlobals()
    vi.advanceTimersByTime(90)
    expect(told).toEqual(['one'])
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(10)
    expect(told).toEqual(['one', 'two'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('also when the one that the timer was set for is cleared', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    const one = deadlines.set(named('one'))
    vi.advanceTimersByTime(40)
    deadlines.set(named('two'))
    deadlines.clear(one)
    vi.advanceTimersByTime(99)
    expect(told).toEqual([])
    vi.advanceTimersByTime(1)
    expect(told).toEqual(['two'])
  })

  it('also after a time in which nobody waited', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    deadlines.clear(deadlines.set(named('one')))
    vi.advanceTimersByTime(1_000)
    deadlines.set(named('two'))
    vi.advanceTimersByTime(99)
    expect(told).toEqual([])
    vi.advanceTimersByTime(1)
    expect(told).toEqual(['two'])
  })

  it('in the order in which they were set, those of the same millisecond at once', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    for (const name of ['one', 'two', 'three']) deadlines.set(named(name))
    vi.advanceTimersByTime(100)
    expect(told).toEqual(['one', 'two', 'three'])
  })

  it('when one was set while another is told', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    deadlines.set({ hearDeadline: () => void deadlines.set(named('next')) })
    vi.advanceTimersByTime(199)
    expect(told).toEqual([])
    vi.advanceTimersByTime(1)
    expect(told).toEqual(['next'])
  })
})

describe('what is cleared', () => {
  it.each([
    [0, ['two', 'three']],
    [1, ['one', 'three']],
    [2, ['one', 'two']],
  ])('is not told, number %i of three, and the others are', (index, expected) => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    const set = ['one', 'two', 'three'].map((name) => deadlines.set(named(name)))
    const cleared = set[index]
    if (cleared !== undefined) deadlines.clear(cleared)
    vi.advanceTimersByTime(1_000)
    expect(told).toEqual(expected)
  })

  it('may be cleared again, also when it was told', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    const [one, two] = [deadlines.set(named('one')), deadlines.set(named('two'))]
    deadlines.clear(one)
    deadlines.clear(one)
    vi.advanceTimersByTime(100)
    deadlines.set(named('three'))
    deadlines.clear(two)
    deadlines.clear(one)
    vi.advanceTimersByTime(100)
    expect(told).toEqual(['two', 'three'])
  })

  it('may be cleared by another that is told in the same millisecond', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    deadlines.set({ hearDeadline: () => deadlines.clear(two) })
    const two = deadlines.set(named('two'))
    deadlines.set(named('three'))
    vi.advanceTimersByTime(1_000)
    expect(told).toEqual(['three'])
  })

  it('keeps nobody else alive', () => {
    const { named } = listening()
    const deadlines = new Clocked(100)
    const set = ['one', 'two', 'three'].map((name) => deadlines.set(named(name)))
    for (const deadline of set) deadlines.clear(deadline)
    expect(set.map(({ earlier, later: next }) => [earlier, next])).toEqual(
      set.map(() => [undefined, undefined]),
    )
  })
})

describe('the timer', () => {
  it('is one, however many wait, and is gone when nobody does', () => {
    const { named } = listening()
    const deadlines = new Clocked(100)
    const set = Array.from({ length: 50 }, (_, index) => deadlines.set(named(`${index}`)))
    expect(vi.getTimerCount()).toBe(1)
    for (const deadline of set) deadlines.clear(deadline)
    vi.advanceTimersByTime(100)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('goes at the end, with the last one that waits', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    const one = deadlines.set(named('one'))
    const two = deadlines.set(named('two'))
    deadlines.clear(one)
    deadlines.end()
    expect(vi.getTimerCount()).toBe(1)
    deadlines.clear(two)
    expect(vi.getTimerCount()).toBe(0)
    expect(told).toEqual([])
  })

  it('is gone at the end when nobody waits', () => {
    const deadlines = new Clocked(100)
    deadlines.clear(deadlines.set(listening().named('one')))
    deadlines.end()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('still tells those that wait at the end', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    deadlines.set(named('one'))
    deadlines.end()
    vi.advanceTimersByTime(100)
    expect(told).toEqual(['one'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('goes on for the others when one of them throws', () => {
    const { told, named } = listening()
    const deadlines = new Clocked(100)
    deadlines.set({
      hearDeadline: () => {
        throw new Error('one')
      },
    })
    deadlines.set(named('two'))
    expect(() => vi.advanceTimersByTime(100)).toThrow('one')
    vi.advanceTimersByTime(1)
    expect(told).toEqual(['two'])
  })

  it('lets the process end', () => {
    vi.useRealTimers()
    const { named } = listening()
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = timers()
    new Clocked(60_000).set(named('one'))
    expect(timers()).toBe(before)
  })

  it('keeps nothing of the one who happens to set it', async () => {
    vi.useRealTimers()
    const storage = new AsyncLocalStorage<string>()
    const heard: (string | undefined)[] = []
    const deadlines = new Clocked(1)
    await new Promise<void>((resolve) => {
      const hearDeadline = (): void => {
        heard.push(storage.getStore())
        resolve()
      }
      storage.run('a connection', () => void deadlines.set({ hearDeadline }))
    })
    await later(0)
    expect(heard).toEqual([undefined])
  })
})
