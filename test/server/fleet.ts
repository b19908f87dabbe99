import type tls from 'node:tls'
import {
  MemoryStore,
  ServerSessions,
  type ServerSessionsOptions,
  type SessionStore,
} from '../../src/index.ts'
import type { ServerAttachment, ServerHandshake } from '../../src/node/server-attachment.ts'
import { afterTest, certificate, greet, listen } from '../node/harness.ts'

/** As good as 32 random bytes, and the same in each run. */
export const SECRET: Uint8Array = Uint8Array.from(
  { length: 32 },
  (_, index) => (index * index * 37 + 11) % 251,
)

/** What several processes see of one engine: it is outside of each. */
export function engine(memory: MemoryStore = new MemoryStore()): SessionStore {
  return {
    get: async (key) => memory.get(key),
    set: async (entries) => memory.set(entries),
    take: async (key) => memory.take(key),
    delete: async (key) => memory.delete(key),
    getMarks: async () => memory.getMarks(),
    addMarks: async (marks) => memory.addMarks(marks),
    close: () => undefined,
  }
}

export interface Process {
  readonly sessions: ServerSessions
  readonly server: tls.Server
  readonly attachment: ServerAttachment
  readonly port: number
  readonly handshakes: ServerHandshake[]
}

/** A server that has these sessions, and ends with the test. */
export async function startProcess(
  options: ServerSessionsOptions,
  server: tls.TlsOptions = {},
): Promise<Process> {
  const handshakes: ServerHandshake[] = []
  const sessions = new ServerSessions({
    onHandshake: (handshake) => void handshakes.push(handshake),
    ...options,
  })
  afterTest(() => void sessions.close())
  const made = greet({ ...certificate, ...sessions.serverOptions(), ...server })
  const attachment = sessions.attach(made)
  await sessions.ready
  return { sessions, server: made, attachment, port: await listen(made), handshakes }
}

/** As the caller sees it: its code, or that there was none. */
export async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call()
    return 'none'
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    return code ?? message
  }
}
