import { MemoryStore, SslContext } from 'sslctx'

export const context: SslContext = new SslContext({ sessionIdContext: 'exercise' })
export const store: MemoryStore = new MemoryStore()
