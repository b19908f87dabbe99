import type * as NodeCrypto from 'node:crypto'

let crypto: typeof NodeCrypto | undefined

/**
 * `node:crypto`, loaded when it is first needed: with `node:tls`, for which the Node edge does the same, it would be a sixth of the
 * time that importing the library takes. A TLS server has both by then.
 */
export function nodeCrypto(): typeof NodeCrypto {
  crypto ??= process.getBuiltinModule('node:crypto')
  return crypto
}
