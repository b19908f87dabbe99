import type { ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { startLmdbScript } from '../../tools/lmdb/lmdb-script.ts'
import type { WriterFindings, WriterTask } from '../../tools/lmdb/lmdb-writer.ts'

export interface KillReport extends WriterFindings {
  readonly kills: number
  /** How many writes were acknowledged, and so looked for. */
  readonly acknowledged: number
}

/**
 * Writers that share one store are killed with SIGKILL in mid-write, one after the other, while the rest write on. A fresh process
 * then looks for all that was acknowledged, and whether sessions and index agree.
 */
export async function killLmdbWriters(kills: number, together = 5): Promise<KillReport> {
  const path = await mkdtemp(join(tmpdir(), 'sslctx-lmdb-kill-'))
  const known = new Map<string, string>()
  const found: WriterFindings[] = []
  try {
    for (let killed = 0; killed < kills; killed += together) {
      const writers = await startWriters(path, Math.min(together, kills - killed))
      found.push(await look(writers[0] as ChildProcess, known))
      await Promise.all(writers.map((writer) => writeUntilKilled(writer, known)))
    }
    const [last] = await startWriters(path, 1)
    found.push(await look(last as ChildProcess, known))
    last?.disconnect()
    await once(last as ChildProcess, 'exit')
  } finally {
    await rm(path, { recursive: true })
  }
  return {
    kills,
    acknowledged: known.size,
    lost: found.reduce((sum, { lost }) => sum + lost, 0),
    returned: found.reduce((sum, { returned }) => sum + returned, 0),
    problems: found.flatMap(({ problems }) => problems),
  }
}

function startWriters(path: string, count: number): Promise<ChildProcess[]> {
  return Promise.all(Array.from({ length: count }, () => startLmdbScript('lmdb-writer', path)))
}

async function look(child: ChildProcess, known: ReadonlyMap<string, string>): Promise<WriterFindings> {
  const named = (mark: string): string[] => [...known.keys()].filter((name) => known.get(name) === mark)
  child.send({ kept: named('+'), gone: named('-') } satisfies WriterTask)
  const [findings] = (await once(child, 'message')) as [WriterFindings]
  return findings
}

/** The moment is random: so many acknowledgements, and then some milliseconds. */
async function writeUntilKilled(child: ChildProcess, known: Map<string, string>): Promise<void> {
  let left = randomInt(1, 100)
  child.send('write' satisfies WriterTask)
  if (child.stdout === null) throw new Error('the writer has no output')
  for await (const line of createInterface({ input: child.stdout })) {
    // The last line of one that was killed may be cut short.
    if (line.length === 65) known.set(line.slice(1), line.slice(0, 1))
    if (--left === 0) setTimeout(() => child.kill('SIGKILL'), randomInt(20))
  }
  if (child.exitCode !== null) throw new Error(`a writer ended by itself, with ${child.exitCode}`)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { kills, acknowledged, lost, returned, problems } = await killLmdbWriters(
    Number(process.argv[2] ?? 200),
  )
  console.log(
    `${acknowledged} acknowledged; ${returned} taken ones came back; index: ${problems.length} problems`,
  )
  for (const problem of new Set(problems)) console.log(problem)
  console.log(`lmdb-kill: ${kills} kills, ${lost} lost`)
  if (lost + returned + problems.length > 0) process.exitCode = 1
}
