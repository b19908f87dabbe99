/** D7: an answer now, or later. What is answered now stays synchronous: no promise, no microtask. */
export type Awaitable<T> = T | PromiseLike<T>

/**
 * The same of an answer of ours, which is an object: `then` tells which it is. It is asked where the answer is used, not in a function for all
 * kinds of answers, which an engine cannot compile for any of them.
 */
export type Answer<T extends object> = (T & { readonly then?: undefined }) | PromiseLike<T>

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

/** Where no promise was wanted, its rejection is nobody's, and would end the process. */
export function hearRejection(answer: unknown, failed: (error: unknown) => void): void {
  if (isPromiseLike(answer)) Promise.resolve(answer).then(undefined, failed)
}

/** Calls a listener of the owner, who may have made it an async function: what it throws, and what it rejects with, is heard alike. */
export function callListener(listener: () => unknown, failed: (error: unknown) => void): void {
  try {
    hearRejection(listener(), failed)
  } catch (error) {
    failed(error)
  }
}
