import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Certificate } from '../../tools/certificate.ts'
import { forkScript } from '../../tools/server-process.ts'
import type { AbortCase, AbortReport, Remains, StartAbort } from './abort-case.ts'
import { readTrail } from './trail.ts'

/** What came of a case: its report, or how its process ended without one. */
export type AbortResult =
  | { readonly report: AbortReport }
  | { readonly end: string; readonly question: string; readonly attacks: readonly string[] }

/** @param binary - the Node that runs it */
export async function runCase(
  abortCase: AbortCase,
  certificate: Certificate,
  binary: string = process.execPath,
): Promise<AbortResult> {
  const folder = mkdtempSync(join(tmpdir(), 'sslctx-abort-'))
  const trail = join(folder, 'trail')
  try {
    const child = forkScript(new URL('./server.ts', import.meta.url), {
      binary,
      stdout: 'ignore',
      stderr: 'pipe',
    })
    let errors = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = `${errors}${chunk.toString()}`.slice(-1_000)
    })
    let report: AbortReport | undefined
    child.once('message', (message) => {
      report = message as AbortReport
    })
    child.send({ ...abortCase, certificate, trail } satisfies StartAbort)
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    if (report !== undefined) return { report }
    return { end: `${signal ?? `exit ${code}`} ${errors}`.trim(), ...readTrail(trail) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** How much more memory may grow than a stock server's does. */
const MAX_GROWTH_BYTES = 2 ** 20

/** @returns what is wrong with an attached server, in words, next to a stock one */
export function problemsOf(attached: AbortResult, stock: AbortResult): readonly string[] {
  const problems = [...problemsAlone(attached)]
  if ('end' in attached) return problems
  if ('end' in stock) return [...problems, `the control: ${problemsAlone(stock).join()}`]
  const { report } = attached
  problems.push(...strangeAnswers(report, stock.report))
  if (report.outcomes !== report.accepted)
    problems.push(`${report.accepted} connections, and ${report.outcomes} outcomes`)
  if (report.memory !== undefined && stock.report.memory !== undefined) {
    const [mine, others] = [growth(report.memory), growth(stock.report.memory)]
    if (mine > Math.max(0, others) + MAX_GROWTH_BYTES)
      problems.push(`memory grew by ${mine} bytes, that of a stock server by ${others}`)
  }
  return problems
}

/** What was there at the start, a file that was still being read, may have gone. */
function hasMore(before: Remains, after: Remains): boolean {
  const grown = Object.entries(after.resources).some(([type, count]) => count > (before.resources[type] ?? 0))
  const { sockets, timers, pendingWrites } = after
  return grown || sockets > before.sockets || timers > before.timers || pendingWrites > before.pendingWrites
}

/** @returns what would be wrong with any server */
export function problemsAlone(result: AbortResult): readonly string[] {
  if ('end' in result)
    return [
      `the process ended: ${result.end}; asked: ${result.question}; last: ${result.attacks.slice(0, 3).join(' | ')}`,
    ]
  const { uncaught, remains, good, accepted, heard } = result.report
  const problems = [...new Set(uncaught)]
  const [before, after] = remains
  if (hasMore(before, after))
    problems.push(`left behind: ${JSON.stringify(after)}, before: ${JSON.stringify(before)}`)
  if (good.served !== good.visits) problems.push(`${good.served} of ${good.visits} good clients were served`)
  const told = (heard['secureConnection'] ?? 0) + (heard['tlsClientError'] ?? 0)
  if (told !== accepted) problems.push(`${accepted} connections, and ${told} events that tell of them`)
  return problems
}

const growth = ([half, end]: readonly [number, number]): number => end - half

/** Answers that no socket of a stock server gives: to what it is, in the same event; to other questions, in any. */
function strangeAnswers({ answers }: AbortReport, stock: AbortReport): readonly string[] {
  const anywhere = (question: string): readonly string[] =>
    Object.values(stock.answers).flatMap((questions) => questions[question] ?? [])
  return Object.entries(answers).flatMap(([event, questions]) =>
    Object.entries(questions).flatMap(([question, given]) => {
      const known = question === 'is' ? (stock.answers[event]?.[question] ?? []) : anywhere(question)
      // What throws there may do as it likes here.
      if (known.some((answer) => answer.startsWith('throws'))) return []
      return given
        .filter((answer) => !known.includes(answer))
        .map((answer) => `${event}: ${question} ${answer}, and not ${[...new Set(known)].join(' or ')}`)
    }),
  )
}
