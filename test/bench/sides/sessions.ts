/** The sessions of the cache benchmarks: the same, in the same order, in libssl-cache.c. */

export const BATCH = 4096
/** The index of sessions that were never made. */
export const ABSENT: number = 2 ** 28
export const ID_LENGTH = 32
export const TIMEOUT_SEC = 7200
/** Expiries move on by a second every so many sessions. */
export const SESSIONS_A_SECOND = 40

/** A session of TLS 1.2 in 160 bytes of DER, as a server keeps it, with places for an id and a time. */
export interface Template {
  readonly der: Uint8Array
  readonly idOffset: number
  readonly timeOffset: number
}

export function makeTemplate(): Template {
  const tagged = (tag: number, ...content: number[]): number[] => [tag, content.length, ...content]
  const bytes = (length: number, value: number): number[] => new Array<number>(length).fill(value)
  const before = [...tagged(2, 1), ...tagged(2, 3, 3), ...tagged(4, 0xc0, 0x2f)]
  const id = tagged(4, ...bytes(ID_LENGTH, 0))
  const key = tagged(4, ...bytes(48, 0xa5))
  const time = tagged(0xa1, ...tagged(2, ...bytes(4, 0x60)))
  const after = [
    ...tagged(0xa2, ...tagged(2, TIMEOUT_SEC >> 8, TIMEOUT_SEC & 0xff)),
    ...tagged(0xa4, ...tagged(4, ...Buffer.from('bench'))),
    ...tagged(0xa6, ...tagged(4, ...Buffer.from('www.eu2.bench.example.net'))),
    ...tagged(0xad, ...tagged(2, 1)),
    ...tagged(0xb3, ...tagged(2, 0x1d)),
  ]
  const content = [...before, ...id, ...key, ...time, ...after]
  return {
    der: Uint8Array.from([0x30, 0x81, content.length, ...content]),
    idOffset: 3 + before.length + 2,
    timeOffset: 3 + before.length + id.length + key.length + 4,
  }
}

let randomState = 2463534242

export function randomUint32(): number {
  randomState ^= randomState << 13
  randomState ^= randomState >>> 17
  randomState ^= randomState << 5
  return randomState >>> 0
}

export function randomBelow(limit: number): number {
  return randomUint32() % limit
}

function mix(value: number): number {
  let x = value
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

export function writeId(target: Uint8Array, offset: number, index: number): void {
  for (let i = 0; i < ID_LENGTH / 4; i++) {
    const word = mix((Math.imul(index, 8) + i + 0x9e3779b9) | 0)
    target[offset + 4 * i] = word >>> 24
    target[offset + 4 * i + 1] = word >>> 16
    target[offset + 4 * i + 2] = word >>> 8
    target[offset + 4 * i + 3] = word
  }
}

export class SessionMaker {
  readonly startSec: number = Math.floor(Date.now() / 1000)
  readonly #template: Template = makeTemplate()
  readonly #der: Uint8Array

  constructor() {
    this.#der = this.#template.der.slice()
  }

  timeOf(index: number): number {
    return this.startSec + Math.floor(index / SESSIONS_A_SECOND)
  }

  /** The DER of session `index`; the same memory each time. */
  der(index: number): Uint8Array {
    const { idOffset, timeOffset } = this.#template
    writeId(this.#der, idOffset, index)
    const time = this.timeOf(index)
    for (let i = 0; i < 4; i++) this.#der[timeOffset + i] = (time >>> (24 - 8 * i)) & 0xff
    return this.#der
  }
}

/** Microseconds of CPU that the process has used, with its garbage collector's threads. */
export function cpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

const QUIET_MS = 20

/** Collects the garbage of what was before, and waits until the collector's threads, which sweep afterwards, have finished. */
export function settle(): void {
  globalThis.gc?.()
  const cell = new Int32Array(new SharedArrayBuffer(4))
  let before: number
  do {
    before = cpuUs()
    Atomics.wait(cell, 0, 0, QUIET_MS)
  } while (cpuUs() - before > (QUIET_MS * 1000) / 10)
}

/**
 * @param prepare - makes what a batch needs; not measured
 * @param run - {@link BATCH} operations
 * @returns nanoseconds of CPU an operation
 */
export function measure(prepare: () => void, run: () => void): number {
  let spent = 0
  for (let batch = 0; batch < batches; batch++) {
    prepare()
    const start = cpuUs()
    run()
    spent += cpuUs() - start
  }
  return (spent * 1000) / (batches * BATCH)
}

/** Needs --expose-gc. */
export function residentBytes(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.()
  return process.memoryUsage.rss()
}

/** The figure that this process was started for. */
export function report(value: number, parts?: Readonly<Record<string, number>>): void {
  console.log(JSON.stringify({ value, ...(parts && { parts }) }))
}

const [name = '', size = '0', count = '0'] = process.argv.slice(2)
export const operation: string = name
export const sessions: number = Number(size)
export const batches: number = Number(count)
