import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { makeCertificate } from '../../tools/certificate.ts'
import { type Engine, engineMajors, findEngines } from '../../tools/engine-binary.ts'
import { type AbortCase, SERVER_KINDS, STORE_KINDS } from './abort-case.ts'
import { type AbortResult, problemsOf, runCase } from './run-case.ts'

/**
 * npm run test:abort [-- --connections N --measured N --seed S --engine 26 --server tls --store internal]
 *
 * Connections that are cut by FIN, RST or silence at every moment, on every line of Node, next to a stock server; and the memory
 * that they leave behind.
 */
const { values } = parseArgs({
  options: {
    /** Of each of the four variants. */
    connections: { type: 'string', default: '2000' },
    /** Of which the second half must leave no memory behind; 0 measures none. */
    measured: { type: 'string', default: '50000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    engine: { type: 'string', multiple: true, default: engineMajors.map(String) },
    server: { type: 'string', multiple: true, default: [...SERVER_KINDS] },
    store: { type: 'string', multiple: true, default: [...STORE_KINDS] },
  },
})

const certificate = await makeCertificate('server.example')
const engines = (await findEngines()).filter(({ version }) =>
  values.engine.some((major) => version.startsWith(`${major}.`)),
)
const totals = { connections: 0, ended: 0, problems: 0 }
console.log(`seed ${values.seed}`)

for (const engine of engines) {
  for (const one of casesOf(Number(values.connections), 0)) if (one.connections > 0) await judge(engine, one)
  // One kind of server for each store: they have the same listener of connections.
  for (const one of casesOf(0, Number(values.measured)).filter(({ server }) => server === 'https'))
    if (one.measured > 0) await judge(engine, one)
}
console.log(
  `abort: ${totals.connections} connections, ${totals.ended} processes ended, ${totals.problems} problems`,
)
process.exitCode = totals.ended + totals.problems === 0 ? 0 : 1

type Asked = Omit<AbortCase, 'isAttached'>

function casesOf(connections: number, measured: number): readonly Asked[] {
  const seed = Number(values.seed)
  return SERVER_KINDS.filter((server) => values.server.includes(server)).flatMap((server) =>
    STORE_KINDS.filter((store) => values.store.includes(store)).map((store) => ({
      server,
      store,
      seed,
      connections,
      measured,
    })),
  )
}

/** At the same time, since that takes no longer where there are two cores. */
async function judge({ version, binary }: Engine, one: Asked): Promise<void> {
  const [attached, stock] = await Promise.all([
    runCase({ ...one, isAttached: true }, certificate, binary),
    runCase({ ...one, isAttached: false }, certificate, binary),
  ])
  const problems = problemsOf(attached, stock)
  totals.problems += problems.length
  if ('end' in attached) totals.ended++
  const title = `Node ${version} ${one.server} ${one.store}${one.measured > 0 ? ' memory' : ''}`
  console.log(
    `${problems.length === 0 ? 'ok    ' : 'FAILED'} ${title.padEnd(42)} ${summary(attached, stock)}`,
  )
  for (const problem of problems) console.log(`       ${problem}`)
}

function summary(attached: AbortResult, stock: AbortResult): string {
  if ('end' in attached) return attached.end
  const { accepted, heard, good, memory, refused } = attached.report
  totals.connections += accepted
  const figures = [
    `${accepted} connections`,
    `${heard['secureConnection'] ?? 0} secure`,
    `${good.served} of ${good.visits} good ones served`,
  ]
  if (memory !== undefined) {
    const other = 'report' in stock ? stock.report.memory : undefined
    figures.push(`memory ${growth(memory)} KiB, stock ${other === undefined ? '-' : growth(other)} KiB`)
  }
  if (refused !== undefined) figures.push(`without ${refused.split(':')[0]}, which is refused`)
  return figures.join(', ')
}

function growth([half, end]: readonly [number, number]): number {
  return Math.round((end - half) / 1024)
}
