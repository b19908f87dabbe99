import { connect, type Socket } from 'node:net'

/** Four functions of the meta protocol without any check: the least that a client can do. Keys are in base64. */
export class BareMemcached {
  readonly #socket: Socket
  readonly #waiting: ((reply: BareReply) => void)[] = []
  #rest: Buffer = Buffer.alloc(0)

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk))
  }

  set(key: string, value: Uint8Array, expiresAtSec: number): Promise<BareReply> {
    const line = Buffer.from(`ms ${key} ${value.length} b T${expiresAtSec}\r\n`)
    return this.#send(Buffer.concat([line, value, CRLF]))
  }

  get(key: string): Promise<BareReply> {
    return this.#send(`mg ${key} b v c\r\n`)
  }

  deleteIf(key: string, cas: string): Promise<BareReply> {
    return this.#send(`md ${key} b C${cas}\r\n`)
  }

  close(): void {
    this.#socket.destroy()
  }

  #send(bytes: string | Buffer): Promise<BareReply> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#socket.write(bytes)
    })
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const lineEnd = bytes.indexOf('\r\n', at)
      if (lineEnd < 0) break
      const line = bytes.toString('latin1', at, lineEnd)
      let end = lineEnd + 2
      let value: Buffer | undefined
      if (line.startsWith('VA ')) {
        const valueEnd = end + Number.parseInt(line.slice(3), 10)
        if (bytes.length < valueEnd + 2) break
        value = Buffer.from(bytes.subarray(end, valueEnd))
        end = valueEnd + 2
      }
      at = end
      this.#waiting.shift()?.({ line, value })
    }
    this.#rest = bytes.subarray(at)
  }
}

export interface BareReply {
  readonly line: string
  readonly value: Buffer | undefined
}

const CRLF = Buffer.from('\r\n')
