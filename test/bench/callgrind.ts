import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { spread } from './compare.ts'

/** What one handshake runs through. */
export interface CountedCode {
  readonly instructions: number
  /** Of 64 bytes. */
  readonly lines: number
  /** Those of them that are in no file: what the engine has compiled. */
  readonly compiledLines: number
}

const LINE_BYTES = 64
/** What runs in fewer of the handshakes is no part of all of them. */
const USUAL = 0.4
/** What callgrind says of code that is in no file. */
const NO_FILE = '???'

/**
 * Reads what callgrind has written with `--dump-instr=yes`. A collection falls into some dumps and not into others, so what is
 * in most of them counts.
 *
 * @param files - dumps of one process
 * @param handshakes - in each
 */
export async function countCode(files: readonly string[], handshakes: number): Promise<CountedCode> {
  const dumps = await Promise.all(files.map((file) => readDump(file, handshakes)))
  const seen = new Map<string, number>()
  for (const { lines } of dumps) for (const line of lines) seen.set(line, (seen.get(line) ?? 0) + 1)
  const usual = [...seen].filter(([, count]) => count > files.length / 2).map(([line]) => line)
  return {
    instructions: Math.round(spread(dumps.map(({ instructions }) => instructions)).median),
    lines: usual.length,
    compiledLines: usual.filter((line) => line.startsWith(NO_FILE)).length,
  }
}

interface Dump {
  readonly instructions: number
  readonly lines: ReadonlySet<string>
}

async function readDump(file: string, handshakes: number): Promise<Dump> {
  const profile = new Profile()
  for await (const text of createInterface({ input: createReadStream(file) })) profile.read(text)
  const lines = new Set<string>()
  let sum = 0
  for (const [place, count] of profile.counts) {
    sum += count
    const [object = '', address] = place.split(' ')
    if (count >= USUAL * handshakes) lines.add(`${object} ${Math.floor(Number(address) / LINE_BYTES)}`)
  }
  return { instructions: sum / handshakes, lines }
}

/** The format is described in valgrind's manual, "Callgrind Format Specification". */
class Profile {
  /** How often each instruction has run, by its file and its address there. */
  readonly counts = new Map<string, number>()
  readonly #files = new Map<string, string>()
  #file = ''
  #address = 0
  /** The next line is what a call has cost in all. */
  #isInclusive = false

  read(text: string): void {
    if (text.startsWith('calls=')) this.#isInclusive = true
    else if (text.startsWith('ob=')) this.#file = this.#fileOf(text.slice('ob='.length))
    else if (text.startsWith('cob=')) this.#fileOf(text.slice('cob='.length))
    else if (/^[\d+*-]/.test(text)) this.#readCost(text)
  }

  /** @param object - its number, and its name where it comes for the first time */
  #fileOf(object: string): string {
    const [number = '', name] = object.split(' ')
    if (name !== undefined) this.#files.set(number, name)
    return this.#files.get(number) ?? number
  }

  #readCost(text: string): void {
    const [position = '', , cost] = text.split(' ')
    this.#address = this.#at(position)
    const isInclusive = this.#isInclusive
    this.#isInclusive = false
    if (isInclusive || cost === undefined) return
    const place = `${this.#file} ${this.#address}`
    this.counts.set(place, (this.counts.get(place) ?? 0) + Number(cost))
  }

  /** Addresses are told by their distance from the one before, where that is shorter. */
  #at(position: string): number {
    if (position === '*') return this.#address
    if (position.startsWith('+')) return this.#address + Number(position.slice(1))
    if (position.startsWith('-')) return this.#address - Number(position.slice(1))
    return Number(position)
  }
}
