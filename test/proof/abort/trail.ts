import { existsSync, openSync, readFileSync, writeSync } from 'node:fs'

const SLOT_LENGTH = 96
/** As many attacks as are under way at the same time, and some. */
const SLOTS = 64

/**
 * What a process is doing, in a file that outlives it: a signal leaves no time to say anything. The first line is the question
 * that a listener is putting, the others are the last attacks.
 */
export class Trail {
  readonly #file: number
  #next = 0

  constructor(path: string) {
    this.#file = openSync(path, 'w')
  }

  asking(question: string): void {
    this.#write(0, question)
  }

  attacking(attack: string): void {
    this.#write(1 + (this.#next++ % SLOTS), `${this.#next} ${attack}`)
  }

  #write(slot: number, text: string): void {
    writeSync(this.#file, `${text.slice(0, SLOT_LENGTH - 1).padEnd(SLOT_LENGTH - 1)}\n`, slot * SLOT_LENGTH)
  }
}

/** @returns the question, and the attacks, the last one first */
export function readTrail(path: string): { readonly question: string; readonly attacks: readonly string[] } {
  // A process that ended while it was starting has none.
  if (!existsSync(path)) return { question: '', attacks: [] }
  const [question = '', ...attacks] = readFileSync(path, 'latin1')
    .split('\n')
    .map((line) => line.replaceAll('\0', '').trim())
  return {
    question,
    attacks: attacks
      .filter((attack) => attack !== '')
      .sort((one, other) => Number.parseInt(other, 10) - Number.parseInt(one, 10)),
  }
}
