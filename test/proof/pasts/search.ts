import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { makeCertificate } from '../../tools/certificate.ts'
import { forkScript } from '../../tools/server-process.ts'
import { drawPast, type MetReport, type PastTask } from './drawn-past.ts'

export interface PastsReport {
  readonly met: number
  /** Peaceful ones that a stock server has answered. */
  readonly answered: number
  readonly resumed: number
  /** Those that end a stock server. */
  readonly endStock: readonly number[]
  /** What an attached server does worse, with the past of it. */
  readonly faults: readonly string[]
}

/** Servers that meet so many sockets with a drawn past, stock and attached. */
export async function searchPasts(seed: number, from: number, to: number): Promise<PastsReport> {
  const certificate = await makeCertificate('server.example')
  const search = new Search(certificate, seed)
  try {
    for (let index = from; index < to; index++) await search.meet(index)
  } finally {
    search.end()
  }
  return search.report
}

class Search {
  readonly #certificate: PastTask['certificate']
  readonly #seed: number
  #child: ChildProcess | undefined
  #met = 0
  #answered = 0
  #resumed = 0
  readonly #endStock: number[] = []
  readonly #faults: string[] = []

  constructor(certificate: PastTask['certificate'], seed: number) {
    this.#certificate = certificate
    this.#seed = seed
  }

  get report(): PastsReport {
    return {
      met: this.#met,
      answered: this.#answered,
      resumed: this.#resumed,
      endStock: this.#endStock,
      faults: this.#faults,
    }
  }

  async meet(index: number): Promise<void> {
    this.#met++
    const first = await this.#ask(index, false)
    if (typeof first !== 'string') return this.#judge(first)
    if (first === 'stock') this.#endStock.push(index)
    const second = first === 'stock' ? await this.#ask(index, true) : first
    if (typeof second === 'string') this.#blame(index, 'the process ended')
    else this.#judge(second)
  }

  /** @returns what came of it, or the side that has ended the process */
  async #ask(index: number, skipsStock: boolean): Promise<MetReport | 'stock' | 'attached'> {
    const child = this.#start()
    let side: 'stock' | 'attached' = 'stock'
    const met = new Promise<MetReport>((resolve) => {
      const hear = (message: MetReport | { type: 'begins'; side: 'stock' | 'attached' }): void => {
        if (message.type === 'begins') side = message.side
        else {
          child.off('message', hear)
          resolve(message)
        }
      }
      child.on('message', hear)
    })
    const task: PastTask = { seed: this.#seed, index, certificate: this.#certificate, skipsStock }
    child.send(task)
    const ended = new AbortController()
    try {
      return await Promise.race([
        met,
        once(child, 'exit', { signal: ended.signal }).then(() => {
          this.#child = undefined
          return side
        }),
      ])
    } finally {
      ended.abort()
    }
  }

  #start(): ChildProcess {
    this.#child ??= forkScript(new URL('./meeting.ts', import.meta.url), { stderr: 'ignore' })
    return this.#child
  }

  #judge({ index, stock, attached }: MetReport): void {
    const { isPeaceful, isHalfOpenEnd, offers, requestsCertificate } = drawPast(this.#seed, index)
    const blame = (problem: string): void => this.#blame(index, problem)
    for (const problem of attached.uncaught)
      if (stock === undefined || stock.uncaught.length === 0) blame(problem)
    if (attached.timers !== 0) blame(`${attached.timers} timers are left`)
    // A lookup takes turns of its own, so that mid-handshake is another moment than for the stock server.
    const isHalfOpen = isHalfOpenEnd && attached.answer !== 'hello'
    if (attached.isLeft && stock?.isLeft === false && !isHalfOpen) blame('a socket is left')
    if (!isPeaceful || stock === undefined) return
    if (stock.answer === 'hello') {
      this.#answered++
      if (attached.answer !== 'hello') blame(`it answers ${JSON.stringify(attached.answer)}`)
      if (attached.isResumed) this.#resumed++
      else if (offers && !requestsCertificate) blame('its client does not resume')
    } else if (stock.isClosed && !attached.isClosed && attached.answer !== 'hello')
      blame('it keeps its client waiting')
  }

  #blame(index: number, problem: string): void {
    this.#faults.push(`${index}: ${problem}: ${drawPast(this.#seed, index).title}`)
  }

  end(): void {
    this.#child?.disconnect()
  }
}
