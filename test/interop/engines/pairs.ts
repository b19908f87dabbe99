import { makeCertificate } from '../../tools/certificate.ts'
import type { Engine } from '../../tools/engine-binary.ts'
import { ScriptProcess } from '../../tools/server-process.ts'
import { startStoreServer } from '../../tools/shared-store.ts'
import { type Client, nodeClient, opensslClient, type Protocol, SERVER_NAME } from './clients.ts'
import type { FromServer, StartServer } from './server.ts'

interface EngineServer {
  readonly engine: Engine
  readonly process: ScriptProcess<StartServer, FromServer>
  readonly port: number
}

/** A session made on one Node, and presented to another. */
export interface Pair {
  readonly maker: Engine
  readonly resumer: Engine
  readonly protocol: Protocol
  /** Of each client for which it did not resume: what the resumer said. */
  readonly problems: readonly string[]
}

/** What a server stores for a handshake: two tickets in TLS 1.3, or one after a resumption (`SSL_CTX_set_num_tickets(3)`). */
const STORED: Readonly<Record<Protocol, { readonly full: number; readonly resumed: number }>> = {
  'TLSv1.2': { full: 1, resumed: 0 },
  'TLSv1.3': { full: 2, resumed: 1 },
}

/** Every engine's sessions on every engine, over one external store. */
export async function runPairs(engines: readonly Engine[]): Promise<readonly Pair[]> {
  const certificate = await makeCertificate(SERVER_NAME)
  const store = await startStoreServer()
  const servers = await Promise.all(
    engines.map((engine) => startServer(engine, { type: 'start', certificate, storePort: store.port })),
  )
  const pairs: Pair[] = []
  try {
    for (const protocol of ['TLSv1.2', 'TLSv1.3'] as const)
      for (const maker of servers)
        for (const resumer of servers) pairs.push(await tryPair(maker, resumer, protocol))
  } finally {
    await Promise.all(servers.map(({ process }) => process.letGo()))
    store.close()
  }
  return pairs
}

async function startServer(engine: Engine, start: StartServer): Promise<EngineServer> {
  const process = new ScriptProcess<StartServer, FromServer>(
    new URL('./server.ts', import.meta.url),
    `the server on ${engine.version}`,
    { binary: engine.binary },
  )
  process.send(start)
  return { engine, process, port: (await process.next('listening')).port }
}

async function tryPair(maker: EngineServer, resumer: EngineServer, protocol: Protocol): Promise<Pair> {
  const problems: string[] = []
  for (const client of pairClients()) {
    const problem = await resume(client, maker, resumer, protocol)
    if (problem !== undefined) problems.push(`${client.name}: ${problem}`)
  }
  return { maker: maker.engine, resumer: resumer.engine, protocol, problems }
}

/** @throws Error when SSLCTX_REQUIRE_PEERS says that openssl must be there */
export function pairClients(): readonly Client[] {
  const openssl = opensslClient()
  if (openssl !== undefined) return [nodeClient(), openssl]
  if (process.env['SSLCTX_REQUIRE_PEERS'] === '1') throw new Error('openssl is not installed')
  return [nodeClient()]
}

/** @returns what went wrong */
async function resume(
  client: Client,
  maker: EngineServer,
  resumer: EngineServer,
  protocol: Protocol,
): Promise<string | undefined> {
  const made = await client.visit(maker.port, protocol)
  const full = await maker.process.next('handshake')
  if (full.outcome !== 'full') return `the first handshake was ${full.outcome}: ${full.reason}`
  await stored(maker, STORED[protocol].full)
  const { isResumed } = await client.visit(resumer.port, protocol, made.session)
  const handshake = await resumer.process.next('handshake')
  await stored(resumer, STORED[protocol][handshake.outcome === 'resumed' ? 'resumed' : 'full'])
  const isAgreed = isResumed && handshake.outcome === 'resumed' && handshake.reason === 'external'
  return isAgreed && handshake.protocol === protocol
    ? undefined
    : `client resumed: ${isResumed}; server: ${handshake.outcome}, ${handshake.reason}, ${handshake.protocol}`
}

async function stored({ process }: EngineServer, count: number): Promise<void> {
  for (let left = count; left > 0; ) left -= (await process.next('stored')).count
}
