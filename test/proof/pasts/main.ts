import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { searchPasts } from './search.ts'

// npm run pasts -- --count N --seed S --from I
const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '2000' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    from: { type: 'string', default: '0' },
  },
})
const from = Number(values.from)
const report = await searchPasts(Number(values.seed), from, from + Number(values.count))
console.log(`seed ${values.seed}`)
for (const fault of report.faults) console.log(fault)
const { met, answered, resumed, endStock, faults } = report
console.log(
  `pasts: ${met} met, ${answered} answered by a stock server, ${resumed} resumed, ${endStock.length} end a stock server (${endStock.join()}), ${faults.length} faults`,
)
process.exitCode = faults.length === 0 ? 0 : 1
