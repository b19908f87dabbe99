import type tls from 'node:tls'
import { ServerSessions, type ServerSessionsOptions } from '../../../src/index.ts'
import type { ServerAttachment, ServerHandshake } from '../../../src/node/server-attachment.ts'
import { afterTest, certificate, greet, listen } from '../../tools/node-servers.ts'

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
