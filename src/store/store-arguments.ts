import { checkMethods } from '../session/arguments.ts'

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
