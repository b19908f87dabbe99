import { setImmediate } from 'node:timers/promises'

/** Work of one turn of the event loop, in steps that cost some tenths of a microsecond. */
const STEPS_PER_TURN = 4000

/**
 * Does something with each of many items, and lets the event loop turn in between: their number is for others to decide.
 *
 * @param perform - returns what it has cost, in steps; 1 when it says nothing
 */
export async function inTurns<T>(
  items: Iterable<T>,
  // biome-ignore lint/suspicious/noConfusingVoidType: most have nothing to say
  perform: (item: T) => number | void,
): Promise<void> {
  let steps = 0
  for (const item of items) {
    steps += perform(item) ?? 1
    if (steps < STEPS_PER_TURN) continue
    steps = 0
    await setImmediate()
  }
}
