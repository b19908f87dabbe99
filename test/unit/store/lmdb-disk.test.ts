import { type StatsFs, statfsSync } from 'node:fs'
import { beforeEach, expect, test, vi } from 'vitest'
import { LmdbDisk } from '../../../src/store/lmdb-disk.ts'

const KIB = 1024
const REFUSED = expect.objectContaining({
  isRefusal: true,
  message: expect.stringContaining('the disk is full'),
})

/** The disk is the test's to fill: a real one needs the right to mount one. */
vi.mock('node:fs', async (original) => ({
  ...(await original<typeof import('node:fs')>()),
  statfsSync: vi.fn(),
}))
const leave = (kib: number): void =>
  void vi.mocked(statfsSync).mockReturnValue({ bavail: kib, bsize: KIB } as unknown as StatsFs)

beforeEach(() => {
  vi.useFakeTimers({ now: 0, toFake: ['performance'] })
  vi.mocked(statfsSync).mockReset()
})

test('a disk is written to while it has room for what is written, and its pages', () => {
  leave(300)
  const disk = new LmdbDisk('/somewhere')
  disk.reserve(KIB)
  expect(() => disk.reserve(20 * KIB)).toThrow(REFUSED)
  expect(statfsSync).toHaveBeenCalledWith('/somewhere')
})

test('is looked at again in time, and when much has been written', () => {
  leave(10_000)
  const disk = new LmdbDisk('/somewhere')
  disk.reserve(KIB)
  leave(0)
  disk.reserve(KIB)
  expect(() => disk.reserve(64 * KIB)).toThrow(REFUSED)
  leave(10_000)
  vi.advanceTimersByTime(20)
  disk.reserve(KIB)
})

test('is left alone for a second after a write that found no room, for whatever reason', () => {
  leave(10_000)
  const disk = new LmdbDisk('/somewhere')
  for (const code of [28, 27, 122, 30, -30792]) {
    disk.hear(Object.assign(new Error('MDB'), { code }))
    expect(disk.isPaused).toBe(true)
    expect(() => disk.reserve(1)).toThrow(expect.objectContaining({ isRefusal: true }))
    vi.advanceTimersByTime(1000)
    disk.reserve(1)
  }
  disk.hear(new Error('another'))
  disk.hear(undefined)
  disk.reserve(1)
})

test('is written to where nobody can say how full it is', () => {
  vi.mocked(statfsSync).mockImplementation(() => {
    throw new Error('ENOSYS')
  })
  new LmdbDisk('/somewhere').reserve(2 ** 40)
  new LmdbDisk(undefined).reserve(2 ** 40)
})
