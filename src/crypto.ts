import type * as NodeCrypto from 'node:crypto'

/**
 * `node:crypto`, loaded when it is first needed: with `node:tls`, for which the Node edge does the same, it would be a sixth of the
 * time that importing the library takes. A TLS server has both by then.
 */
export function nodeCrypto(): typeof NodeCrypto {
  loaded ??= process.getBuiltinModule('node:crypto')
  return loaded
}

/** Kept, since Node checks and looks up its name each time. */
let loaded: typeof NodeCrypto | undefined
