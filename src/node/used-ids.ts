import { LRUCache } from 'lru-cache'
import { byteKey } from '../store/byte-key.ts'

/** As many as an internal cache holds by default. */
const MAX_USED_IDS = 20_480

/** Ids of sessions of single use that were resumed here: the latest, since clients make as many as they like. */
export class UsedIds {
  readonly #ids = new LRUCache<string, true>({ max: MAX_USED_IDS })

  add(id: Uint8Array): void {
    this.#ids.set(byteKey(id), true)
  }

  has(id: Uint8Array): boolean {
    return this.#ids.has(byteKey(id))
  }
}
