/** D7: an answer now, or later. What is answered now stays synchronous: no promise, no microtask. */
export type Awaitable<T> = T | PromiseLike<T>

export function isPromiseLike<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<PromiseLike<T>>).then === 'function'
  )
}

export function andThen<T, U>(value: Awaitable<T>, next: (value: T) => Awaitable<U>): Awaitable<U> {
  return isPromiseLike(value) ? Promise.resolve(value).then(next) : next(value)
}

/**
 * A listener may be an async function, though nothing is to come of it: its rejection, which would end the process, is heard as what a
 * listener throws.
 *
 * @param answer - what the listener has returned
 */
export function hearRejection(answer: unknown, failed: (error: unknown) => void): void {
  if (isPromiseLike(answer)) Promise.resolve(answer).then(undefined, failed)
}
