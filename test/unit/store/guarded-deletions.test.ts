import { expect, test } from 'vitest'
import { SessionStoreError } from '../../../src/errors.ts'
import { bench, DEADLINE_MS, entryOf, keyOf, pass, soon, TIMEOUT, VALUE, watch } from './guard-bench.ts'
import { useGuardTimers } from './guard-timers.ts'

useGuardTimers()

const OLD = Uint8Array.of(9)

/** A deletion of key 1 that never reached the engine, which still has OLD, and a set in its place that is under way. */
async function replacedDeletion() {
  const made = bench({ maxConcurrentWrites: 1 })
  watch(made.store.set([entryOf(9)]))
  watch(made.store.delete(keyOf(1)))
  watch(made.store.set([entryOf(1)]))
  made.inner.call(0).answer()
  await soon()
  expect(made.inner.asked).toEqual(['set 9', 'set 1'])
  return made
}

/** The set, which is call 1, is answered, and only then is the engine asked by the get. */
async function expectGetAfterSet(
  inner: ReturnType<typeof bench>['inner'],
  got: ReturnType<typeof watch>,
  asked: readonly string[],
): Promise<void> {
  expect(inner.asked).toEqual(asked)
  inner.call(1).answer()
  await soon()
  expect(inner.asked).toEqual([...asked, 'get 1'])
  inner.call(2).answer(VALUE)
  await soon()
  expect(got.state).toEqual(VALUE)
}

test('a get waits for the set that replaces a deletion, and hears what was set', async () => {
  const { inner, store } = await replacedDeletion()
  const got = watch(store.get(keyOf(1)))
  await soon()
  await expectGetAfterSet(inner, got, ['set 9', 'set 1'])
})

test.each(['get', 'take'] as const)('a %s finds nothing when that set fails', async (operation) => {
  const { inner, store } = await replacedDeletion()
  const found = watch(store[operation](keyOf(1)))
  inner.call(1).fail(new SessionStoreError('full'))
  await soon()
  expect(inner.asked).toEqual(['set 9', 'set 1', 'delete 1'])
  expect(found.state).toBeUndefined()
})

test('a get that began before shares no more once the key is deleted, though a set came in between', async () => {
  const { inner, store } = bench({ maxConcurrentWrites: 1 })
  const before = watch(store.get(keyOf(1)))
  watch(store.set([entryOf(9)]))
  watch(store.delete(keyOf(1)))
  watch(store.set([entryOf(1)]))
  inner.call(1).answer()
  await soon()
  const after = watch(store.get(keyOf(1)))
  inner.call(0).answer(OLD)
  await soon()
  expect([before.state, after.state]).toEqual([OLD, 'pending'])
})

test('a get that has waited keeps its deadline', async () => {
  const { inner, store } = await replacedDeletion()
  await pass(DEADLINE_MS - 10)
  const got = watch(store.get(keyOf(1)))
  await pass(9)
  inner.call(1).answer()
  await soon()
  expect(inner.asked.at(-1)).toBe('get 1')
  await pass(DEADLINE_MS - 9)
  expect(got.state).toEqual(TIMEOUT)
})

test('a set after a deletion that fails outlives the second attempt of the deletion', async () => {
  const { inner, store } = bench()
  watch(store.delete(keyOf(1)))
  const set = watch(store.set([entryOf(1)]))
  inner.call(0).fail()
  await soon()
  expect(inner.asked).toEqual(['delete 1', 'set 1'])
  inner.call(1).answer()
  await soon()
  expect(set.state).toBeUndefined()
  expect(inner.asked).toEqual(['delete 1', 'set 1'])
})

test('a get after a deletion that has failed does not see what was deleted', async () => {
  const { inner, store } = bench()
  watch(store.delete(keyOf(1)))
  watch(store.set([entryOf(1)]))
  inner.call(0).fail()
  await soon()
  const got = watch(store.get(keyOf(1)))
  await expectGetAfterSet(inner, got, ['delete 1', 'set 1'])
})
