import { afterEach, describe, expect, test, vi } from 'vitest'
import { ClusterStatus } from '../../../src/observability/status-cluster.ts'
import type { StatusReport } from '../../../src/observability/status-report.ts'

// A worker of a cluster, whose primary is this test.

type Sent = Readonly<Record<string, unknown>>
const sent: Sent[] = []
const connected = Object.getOwnPropertyDescriptor(process, 'connected')
const open: ClusterStatus[] = []

function worker(subject: string, report: unknown): ClusterStatus {
  const channel = process as unknown as { send: (message: Sent, ...others: readonly unknown[]) => boolean }
  const { send } = channel
  // The test runner speaks on the same channel.
  vi.spyOn(channel, 'send').mockImplementation((message, ...others) => {
    if (!('sslctx' in message)) return Reflect.apply(send, process, [message, ...others])
    sent.push(message)
    return true
  })
  Object.defineProperty(process, 'connected', { value: true, configurable: true })
  const made = new ClusterStatus(subject, () => report as StatusReport)
  open.push(made)
  return made
}

afterEach(() => {
  for (const one of open.splice(0)) one.close()
  vi.restoreAllMocks()
  if (connected === undefined) Reflect.deleteProperty(process, 'connected')
  else Object.defineProperty(process, 'connected', connected)
  sent.length = 0
})

function tell(message: Sent): void {
  ;(process as NodeJS.EventEmitter).emit('message', message)
}

describe('a status page in a worker', () => {
  test('answers for its own subject alone', () => {
    const [own, other] = [{ servers: { a: 1 } }, { servers: { b: 1 } }]
    worker('a', own)
    worker('b', other)
    tell({ sslctx: 'status-report', round: 1, subject: 'b' })
    expect(sent).toEqual([{ sslctx: 'status-reported', round: 1, report: other }])
  })

  test('asks for its own subject, and no two pages by the same number', () => {
    void worker('a', {}).report()
    void worker('b', {}).report()
    expect(sent).toMatchObject([{ subject: 'a' }, { subject: 'b' }])
    expect(new Set(sent.map(({ id }) => id)).size).toBe(2)
    for (const { id } of sent) tell({ sslctx: 'status-all', id, reports: [] })
  })

  test('shows its own figures when another worker tells what it does not understand', async () => {
    const own = { time: 'now', process: {}, servers: {}, clients: {}, stores: {} }
    const reported = worker('a', own).report()
    const [{ id } = {}] = sent
    tell({ sslctx: 'status-all', id, reports: [own, { servers: null }] })
    expect(await reported).toBe(own)
  })
})
