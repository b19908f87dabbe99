/**
 * Many TLS clients in a process of their own, so that they never share the server's CPU accounting. Each of its lanes makes
 * one connection after the other; when it is to resume, it offers the session that the connection before has brought.
 */
import { once } from 'node:events'
import tls from 'node:tls'

export interface Load {
  readonly port: number
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  readonly resumes: boolean
  readonly connections: number
  /** Connections at a time. */
  readonly lanes: number
  /** Each lane begins without a session; otherwise with the one that its last load has brought. */
  readonly isFresh?: boolean
  /** The connections stay open until the next load begins. */
  readonly isHeld?: boolean
}

export interface LoadResult {
  readonly resumed: number
  readonly full: number
  readonly failed: number
  readonly elapsedMs: number
}

/** By a load that held them. */
let held: tls.TLSSocket[] = []

/** Of the lanes. */
let sessions: (Buffer | undefined)[] = []

type Outcome = { readonly isReused: boolean; readonly session: Buffer | undefined }

/** A connection until its handshake is over and, if sessions are kept, its session is there. */
async function connect(
  { port, version, resumes, isHeld }: Load,
  session: Buffer | undefined,
): Promise<Outcome> {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    servername: 'bench.example',
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(session && { session }),
  })
  let brought = session
  socket.on('session', (next) => {
    brought = next
  })
  try {
    await once(socket, 'secureConnect')
    // Tickets are sent before the first byte.
    if (version === 'TLSv1.3') await once(socket, 'data')
    else if (resumes && session === undefined) brought ??= socket.getSession()
    const isReused = socket.isSessionReused()
    if (isHeld === true) held.push(socket)
    else {
      socket.end()
      await once(socket.resume(), 'close')
    }
    return { isReused, session: brought }
  } finally {
    if (isHeld !== true) socket.destroy()
  }
}

async function letGo(): Promise<void> {
  const closed = held.map((socket) => once(socket, 'close'))
  for (const socket of held) socket.end()
  held = []
  await Promise.all(closed)
}

async function run(load: Load): Promise<LoadResult> {
  await letGo()
  const count = { resumed: 0, full: 0, failed: 0 }
  if (load.isFresh === true) sessions = []
  let left = load.connections
  const lane = async (index: number): Promise<void> => {
    while (left-- > 0) {
      try {
        const outcome = await connect(load, sessions[index])
        count[outcome.isReused ? 'resumed' : 'full']++
        if (load.resumes) sessions[index] = outcome.session
      } catch {
        count.failed++
        sessions[index] = undefined
      }
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: load.lanes }, (_, index) => lane(index)))
  return { ...count, elapsedMs: performance.now() - start }
}

process.on('message', (load: Load) => {
  void run(load).then((result) => process.send?.(result))
})
process.on('disconnect', () => process.exit())
