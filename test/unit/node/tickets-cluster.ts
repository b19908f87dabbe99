import cluster from 'node:cluster'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { attachServer, KeyRing, SslContext, serverOptions } from '../../../src/index.ts'
import type { Certificate } from '../../tools/certificate.ts'

/**
 * One port or several for a fleet with tickets: workers of node:cluster that share a port, or threads with a port each. Does what
 * its parent says, and answers with the ports.
 */
interface Settings {
  readonly kind: 'cluster' | 'threads'
  readonly certificate: Certificate
  /** Hexadecimal. */
  readonly secret: string
  readonly workers: number
}

type Order = 'restart' | 'renew'

function serve({ certificate, secret }: Settings, tell: (port: number) => void): tls.Server {
  const context = new SslContext({ sessionIdContext: 'cluster' })
  const server = tls.createServer(
    { ...certificate, ...serverOptions(context, { tickets: true }) },
    (socket) => socket.on('error', () => undefined).end('hello'),
  )
  attachServer(server, context, { tickets: { keyRing: new KeyRing([Buffer.from(secret, 'hex')]) } })
  server.listen(0, '127.0.0.1', () => tell((server.address() as AddressInfo).port))
  return server
}

/** A worker of cluster or a thread: `end` ends it. */
interface Member {
  readonly port: number
  renew(): void
  end(): Promise<void>
}

async function startClusterMember(settings: Settings): Promise<Member> {
  const worker = cluster.fork({ SSLCTX_TEST_MEMBER: JSON.stringify(settings) })
  const port = await new Promise<number>((resolve) => worker.once('message', resolve))
  return {
    port,
    renew: () => void worker.send('renew'),
    end: () =>
      new Promise((resolve) => {
        worker.once('exit', () => resolve())
        worker.disconnect()
      }),
  }
}

async function startThread(settings: Settings): Promise<Member> {
  // On Node 20 a thread does not inherit the loader of its process.
  const code = `import('tsx/esm/api').then(({ register }) => {
    register()
    return import(${JSON.stringify(import.meta.url)})
  })`
  const worker = new Worker(code, { eval: true, workerData: settings })
  const port = await new Promise<number>((resolve) => worker.once('message', resolve))
  return {
    port,
    renew: () => worker.postMessage('renew'),
    end: async () => void (await worker.terminate()),
  }
}

async function lead(settings: Settings): Promise<void> {
  const start = settings.kind === 'cluster' ? startClusterMember : startThread
  const members = await Promise.all(Array.from({ length: settings.workers }, () => start(settings)))
  const tellPorts = (): void => void process.send?.([...new Set(members.map(({ port }) => port))])
  process.on('message', (order: Order) => {
    void obey(order).then(tellPorts)
  })
  async function obey(order: Order): Promise<void> {
    for (const [index, member] of members.entries()) {
      if (order === 'renew') member.renew()
      else {
        // The new one is there before the old one goes.
        members[index] = await start(settings)
        await member.end()
      }
    }
  }
  process.on('disconnect', () => process.exit())
  tellPorts()
}

const member = process.env['SSLCTX_TEST_MEMBER']
if (!isMainThread) {
  const settings = workerData as Settings
  const server = serve(settings, (port) => parentPort?.postMessage(port))
  parentPort?.on('message', () => server.setSecureContext(settings.certificate))
} else if (cluster.isWorker && member !== undefined) {
  const settings = JSON.parse(member) as Settings
  const server = serve(settings, (port) => process.send?.(port))
  process.on('message', (order) => order === 'renew' && server.setSecureContext(settings.certificate))
} else void lead(JSON.parse(process.env['SSLCTX_TEST_CLUSTER'] ?? '') as Settings)
