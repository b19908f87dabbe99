import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Observation } from './observations.ts'

export const traceFolder: string = join(dirname(fileURLToPath(import.meta.url)), 'traces')

/** A trace with what a libssl answered: `> operation`, then the lines it printed. */
export interface Recording {
  readonly name: string
  /** The libssl that answered. */
  readonly version: string
  readonly trace: readonly string[]
  readonly observed: readonly Observation[]
}

export function formatRecording(trace: readonly string[], observed: readonly Observation[]): string {
  return trace.flatMap((operation, at) => [`> ${operation}`, ...(observed[at] ?? [])]).join('\n')
}

export function readRecordings(): Recording[] {
  return readdirSync(traceFolder)
    .sort()
    .map((file) => parseRecording(file.replace('.txt', ''), readFileSync(join(traceFolder, file), 'utf8')))
}

function parseRecording(name: string, text: string): Recording {
  const trace: string[] = []
  const observed: string[][] = []
  for (const line of text.trimEnd().split('\n')) {
    if (line.startsWith('> ')) {
      trace.push(line.slice(2))
      observed.push([])
    } else observed.at(-1)?.push(line)
  }
  return { name, version: observed[0]?.[0]?.split(' ')[1] ?? '', trace, observed }
}
