import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'

/** In front of an engine: lets everything through, keeps answers back, or is not there. */
export interface DelayingProxy {
  readonly port: number
  /** Milliseconds for which answers are kept back. Less than before lets go at once of what has waited longer. */
  delay(ms: number): void
  /** Connections are cut, new ones refused, until {@link open}. */
  shut(): Promise<void>
  open(): Promise<void>
}

export async function startProxy(enginePort: number): Promise<DelayingProxy> {
  const links = new Set<Link>()
  let delayMs = 0
  const server = net.createServer((client) => {
    const link = new Link(client, enginePort, () => delayMs)
    links.add(link)
    client.once('close', () => links.delete(link))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    delay(ms) {
      delayMs = ms
      for (const link of links) link.release()
    },
    async shut() {
      const closed = once(server, 'close')
      server.close()
      for (const link of links) link.cut()
      await closed
    },
    async open() {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
  }
}

/** One connection through the proxy. */
class Link {
  readonly #client: net.Socket
  readonly #engine: net.Socket
  readonly #delayMs: () => number
  /** What the engine has answered, in its order. */
  readonly #held: { readonly chunk: Buffer; readonly atMs: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(client: net.Socket, enginePort: number, delayMs: () => number) {
    this.#client = client.setNoDelay()
    this.#engine = net.connect({ port: enginePort, host: '127.0.0.1', noDelay: true })
    this.#delayMs = delayMs
    client.pipe(this.#engine)
    this.#engine.on('data', (chunk: Buffer) => {
      this.#held.push({ chunk, atMs: performance.now() })
      this.release()
    })
    for (const socket of [client, this.#engine])
      socket.on('error', () => undefined).on('close', () => this.cut())
  }

  /** Passes on what has waited for long enough. */
  release(): void {
    clearTimeout(this.#timer)
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      const leftMs = first.atMs + this.#delayMs() - performance.now()
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.release(), leftMs)
        return
      }
      this.#client.write(first.chunk)
      this.#held.shift()
    }
  }

  cut(): void {
    clearTimeout(this.#timer)
    this.#client.destroy()
    this.#engine.destroy()
  }
}
