import { randomBytes } from 'node:crypto'
import { KeyRing } from '../../src/index.ts'
import { type Harness, type StartOptions, start } from './harness.ts'

export const SECRET: Buffer = randomBytes(32)

/** One process of a fleet with stateless tickets. */
export async function startTicketed(
  options: StartOptions = {},
  keyRing: KeyRing = new KeyRing([SECRET]),
): Promise<Harness> {
  return start({ ...options, attach: { ...options.attach, tickets: { keyRing } } })
}
