import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import type tls from 'node:tls'
import { expect, test } from 'vitest'
import type { StatusReport } from '../../../src/observability/status-handler.ts'
import { certificate, NAME } from '../../tools/node-servers.ts'
import { startProgram } from './programs.ts'

interface Answer {
  /** Who it was. */
  readonly body: string
  readonly resumed: boolean
  readonly session: Buffer | undefined
}

async function get(port: number | undefined, session?: Buffer, path = '/'): Promise<Answer> {
  const request = https.get({
    path,
    ...{ host: '127.0.0.1', port, servername: NAME, ca: certificate.cert, agent: false },
    ...(session && { session }),
  })
  let received: Buffer | undefined
  request.once('socket', (socket: tls.TLSSocket) =>
    socket.on('session', (one: Buffer) => {
      received = one
    }),
  )
  const [response] = (await once(request, 'response')) as [
    IncomingMessage & { readonly socket: tls.TLSSocket },
  ]
  const resumed = response.socket.isSessionReused()
  const body = await text(response)
  return { body, resumed, session: received }
}

test('the workers of a cluster resume the sessions of each other', async () => {
  const { ports } = await startProgram('./cluster-program.ts')
  const answers = [await get(ports[0])]
  for (let visit = 0; visit < 6; visit++) answers.push(await get(ports[0], answers.at(-1)?.session))
  expect(answers.map(({ resumed }) => resumed)).toEqual([false, ...Array(6).fill(true)])
  // They take turns, so that a session goes from one to the other each time.
  expect(new Set(answers.map(({ body }) => body)).size).toBe(2)
})

test.each([
  ['all workers, when the primary relays it', ['relay'], 2],
  ['one worker, and says so, when the primary does not', [], null],
] as const)('the status page of a cluster is about %s', async (_, args, processes) => {
  const { ports } = await startProgram('./cluster-program.ts', ...args)
  for (let visit = 0; visit < 4; visit++) await get(ports[0])
  const report = JSON.parse((await get(ports[0], undefined, '/status?format=json')).body) as StatusReport
  expect(report.process).toMatchObject({ worker: expect.any(Number), processes })
  // The connection that asks is one of them.
  const { total, now, minutes } = report.servers['shop'] ?? {}
  const counted = [total, now, minutes?.at(-1)].map((span) => span?.handshakes.full)
  expect(counted).toEqual(Array(3).fill(processes === null ? 3 : 5))
})

test('the threads of a process resume the sessions of each other', async () => {
  const { ports } = await startProgram('./threads-program.ts')
  const first = await get(ports[0])
  const second = await get(ports[1], first.session)
  const third = await get(ports[0], second.session)
  expect([first, second, third].map(({ resumed }) => resumed)).toEqual([false, true, true])
  expect(first.body).not.toBe(second.body)
})

test('SIGTERM in the midst of traffic: who was let in is served, and what was made is stored', async () => {
  const { child, ports } = await startProgram('./sigterm-program.ts')
  const told = once(child, 'message') as Promise<[Report]>
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>
  let answered = 0
  const refusals: unknown[] = []
  const lane = async (): Promise<void> => {
    for (;;)
      try {
        expect((await get(ports[0])).body).toBe('hello')
        if (++answered === 20) child.kill('SIGTERM')
      } catch (error) {
        refusals.push((error as { code?: string }).code)
        return
      }
  }
  await Promise.all(Array.from({ length: 8 }, lane))
  const [{ dropped, made, stored, handshakes }] = await told
  expect(await ended).toEqual([0, null])
  // Nobody was let in and then left alone.
  expect(refusals.filter((code) => code !== 'ECONNREFUSED' && code !== 'ECONNRESET')).toEqual([])
  expect(answered).toBeGreaterThanOrEqual(20)
  expect(handshakes.failed).toBe(0)
  expect([dropped, stored]).toEqual([0, made])
  expect(made).toBeGreaterThan(0)
})

interface Report {
  readonly dropped: number
  readonly made: number
  readonly stored: number
  readonly handshakes: { readonly full: number; readonly resumed: number; readonly failed: number }
}
