import { createHash, randomBytes } from 'node:crypto'
import { type SslContextOptions as ModelOptions, SslContextModel } from './context/ssl-context.ts'
import type { SslContextPorts } from './session/contracts.ts'

/** The context's settings, and the ports that a test may want to replace. */
export interface SslContextOptions extends ModelOptions, Partial<SslContextPorts> {}

const ports: SslContextPorts = {
  now: Date.now,
  randomBytes: (length) => new Uint8Array(randomBytes(length)),
  sha256: (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest()),
}

/** {@link SslContextModel} with the system's clock, `node:crypto`'s random bytes and SHA-256. */
export class SslContext extends SslContextModel {
  constructor(options: SslContextOptions = {}) {
    super({ ...ports, ...options }, options)
  }
}

export { SslConnection } from './context/ssl-connection.ts'
export { SessionCacheError, SessionDerError, SessionRangeError, SessionStateError } from './errors.ts'
export {
  type AttachServerOptions,
  attachServer,
  type ServerAttachment,
  type ServerHandshake,
} from './node/attach-server.ts'
export { debugLog } from './observability/debug-log.ts'
export { SessionCacheMode } from './session/session-cache-mode.ts'
export { Alert, SslOption, VerifyMode } from './session/ssl-constants.ts'
export { SslSession } from './session/ssl-session.ts'
