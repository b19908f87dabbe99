/** Some 2 ms of work where each item costs an HMAC: what others put into a store decides how many there are. */
export const ITEMS_PER_TURN = 200

/** Visits each item, no more than {@link ITEMS_PER_TURN} of them in one turn of the event loop. */
export async function inTurns<T>(items: Iterable<T>, visit: (item: T) => void): Promise<void> {
  let left = ITEMS_PER_TURN
  for (const item of items) {
    if (left-- === 0) {
      await new Promise((resolve) => setImmediate(resolve))
      left = ITEMS_PER_TURN - 1
    }
    visit(item)
  }
}
