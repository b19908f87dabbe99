import { expect } from 'vitest'
import { type Harness, type StartOptions, start, startStock } from './node-servers.ts'

export type Target = Pick<Harness, 'server' | 'port'>

/** So a hello that never comes is a test that fails, and not one that is late. */
export const PATIENT = { readAheadMs: 120_000 }

/** Node serves it, and we do: each with one outcome, and none of it is an error. */
export async function isServedAsByNode(
  options: StartOptions,
  visit: (target: Target) => Promise<string>,
): Promise<Harness> {
  const stock = await visit(await startStock(options))
  const harness = await start({ ...options, attach: { ...PATIENT, ...options.attach } })
  const failures: unknown[] = []
  harness.server.on('tlsClientError', (error) => failures.push(error))
  expect(await visit(harness)).toBe(stock)
  expect(stock).toBe('hello')
  expect(failures).toEqual([])
  expect(harness.handshakes).toHaveLength(1)
  expect(harness.handshakes[0]?.outcome).not.toBe('failed')
  return harness
}
