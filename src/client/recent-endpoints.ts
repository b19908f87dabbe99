import { LRUCache } from 'lru-cache'

/** Clients may connect to as many as there are. */
const MAX_ENDPOINTS = 10_000

/** The binding that last kept a session, by host and port: of the latest. */
export class RecentEndpoints {
  readonly #bindings = new LRUCache<string, string>({ max: MAX_ENDPOINTS })

  keep(endpoint: string, binding: string): void {
    this.#bindings.set(endpoint, binding)
  }

  bindingOf(endpoint: string): string | undefined {
    return this.#bindings.peek(endpoint)
  }
}
