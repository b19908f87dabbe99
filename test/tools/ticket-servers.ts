import { randomBytes } from 'node:crypto'
import { KeyRing } from '../../src/index.ts'
import { type Harness, type StartOptions, start } from './node-servers.ts'

export const SECRET: Buffer = randomBytes(32)

/** One process of a fleet with stateless tickets. */
export async function startTicketed(
  options: StartOptions = {},
  keyRing: KeyRing = new KeyRing([SECRET]),
): Promise<Harness> {
  return start({ ...options, attach: { ...options.attach, tickets: { keyRing } } })
}

const HEADER = '\0nodejs:tls:session:1\0'

/** What a client keeps, to be offered to another name: the clients of newer lines of Node offer it to its own alone. */
export function offeredTo(name: string, session: Buffer | undefined): Buffer {
  if (session?.subarray(0, HEADER.length).toString('latin1') !== HEADER) return session!
  const nameLength = session.readUInt16BE(HEADER.length)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(name.length)
  const der = session.subarray(HEADER.length + 2 + nameLength)
  return Buffer.concat([Buffer.from(HEADER), length, Buffer.from(name), der])
}
