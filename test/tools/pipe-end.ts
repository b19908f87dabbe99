import { Duplex, type DuplexOptions } from 'node:stream'

/** One end of a pipe in memory, as stream.duplexPair makes from Node 22 on. */
export class PipeEnd extends Duplex {
  peer: PipeEnd | undefined
  #proceed: (() => void) | undefined

  override _read(): void {
    const proceed = this.#proceed
    this.#proceed = undefined
    proceed?.()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.peer === undefined) throw new Error('the pipe has one end')
    this.peer.#proceed = done
    this.peer.push(chunk)
  }

  override _final(done: () => void): void {
    this.peer?.push(null)
    done()
  }
}

export function duplexPair(options: DuplexOptions = {}): readonly [PipeEnd, PipeEnd] {
  const ends = [new PipeEnd(options), new PipeEnd(options)] as const
  ends[0].peer = ends[1]
  ends[1].peer = ends[0]
  return ends
}
