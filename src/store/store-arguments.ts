import { domainToASCII } from 'node:url'
import { ArgumentError } from '../errors.ts'
import { checkBytes, checkMethods, kindOf } from '../session/arguments.ts'
import type { StoredMark, StoreEntry } from '../session/session-store.ts'

const CALLBACK_METHODS = ['get', 'set', 'take', 'delete']

/** @throws `ArgumentError` for what is no store */
export function checkStore(caller: string, store: unknown): void {
  const methods = [...CALLBACK_METHODS, 'getMarks', 'addMarks', 'close']
  checkMethods(`the store of ${caller}`, store, methods, 'a SessionStore')
}

/** @throws `ArgumentError` for what cannot even hold sessions */
export function checkCallbackStore(caller: string, store: unknown): void {
  checkMethods(`the store of ${caller}`, store, CALLBACK_METHODS, 'a SessionStore')
}

/** @throws `ArgumentError` */
export function checkKeyRing(caller: string, keyRing: unknown): void {
  const methods = ['sessionNames', 'sealingKey', 'openingKey', 'signMark', 'markMac']
  checkMethods(`the key ring of ${caller}`, keyRing, methods, 'a KeyRing')
}

/** @throws `ArgumentError` */
export function checkKey(key: Uint8Array): void {
  checkBytes('key', key)
}

/** @throws `ArgumentError` for what are not entries of a store */
export function checkEntries(entries: readonly StoreEntry[]): void {
  checkList('entries', entries)
  for (const entry of entries) {
    checkItem('an entry', entry)
    checkBytes('key of an entry', entry.key)
    checkBytes('value of an entry', entry.value)
    checkExpiry('an entry', entry.expiresAtMs)
  }
}

/** @throws `ArgumentError` for what are not marks of a store */
export function checkMarks(marks: readonly StoredMark[]): void {
  checkList('marks', marks)
  for (const mark of marks) {
    checkItem('a mark', mark)
    checkBytes('mark', mark.mark)
    checkExpiry('a mark', mark.expiresAtMs)
  }
}

/** @throws `ArgumentError` */
export function checkWatcher(onMark: unknown): void {
  if (typeof onMark !== 'function')
    throw new ArgumentError(`onMark must be a function, got ${kindOf(onMark)}`)
}

function checkList(what: string, value: unknown): void {
  if (!Array.isArray(value)) throw new ArgumentError(`the ${what} must be an array, got ${kindOf(value)}`)
}

function checkItem(what: string, value: unknown): void {
  if (typeof value !== 'object' || value === null)
    throw new ArgumentError(`${what} must be an object, got ${kindOf(value)}`)
}

function checkExpiry(what: string, value: unknown): void {
  if (typeof value !== 'number')
    throw new ArgumentError(`expiresAtMs of ${what} must be milliseconds, got ${kindOf(value)}`)
}

/** Of URLs, of patterns and of lists. */
const NO_PART_OF_A_NAME = /[\s/\\:?#@%*,;]/

/**
 * The server name of sessions that are to be revoked: a revocation of a name that nobody has would revoke nothing, and say nothing.
 *
 * @returns in ASCII, as clients send it; undefined for sessions without a name
 * @throws `ArgumentError` for what is no whole name
 */
export function readServerName(serverName: unknown): string | undefined {
  if (serverName === undefined) return undefined
  if (typeof serverName !== 'string')
    throw new ArgumentError(`the server name must be a string or undefined, got ${kindOf(serverName)}`)
  const name = /^\p{ASCII}*$/u.test(serverName) ? serverName : domainToASCII(serverName)
  if (NO_PART_OF_A_NAME.test(name) || (name === '' && serverName !== ''))
    throw new ArgumentError(
      'the server name must be a whole host name, such as www.example.com: no URL, no port, no wildcard, no white space',
    )
  return name
}
