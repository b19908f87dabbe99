import { beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../../tools/certificate.ts'
import { type AbortCase, type AbortReport, VARIANTS, variantName } from './abort-case.ts'
import { FAREWELLS, MOMENTS } from './attack-plan.ts'
import { type AbortResult, problemsAlone, problemsOf, runCase } from './run-case.ts'

/** The short form of `npm run test:abort`, on the Node that runs the tests. */

const CONNECTIONS = 150
const SEED = 15
const certificate = await makeCertificate('server.example')

const CASES: readonly Pick<AbortCase, 'server' | 'store'>[] = [
  { server: 'tls', store: 'internal' },
  { server: 'tls', store: 'asynchronous' },
  { server: 'https', store: 'asynchronous' },
  { server: 'http2', store: 'waiting' },
]

describe.each(CASES.map((one) => [one.server, one.store, one] as const))(
  '%s, %s store: clients that leave at any moment',
  (_server, _store, one) => {
    let attached: AbortResult
    let stock: AbortResult
    const report = (): AbortReport => {
      if ('end' in attached) throw new Error(problemsAlone(attached).join('\n'))
      return attached.report
    }

    beforeAll(async () => {
      const common = { ...one, seed: SEED, connections: CONNECTIONS, measured: 0 }
      ;[attached, stock] = await Promise.all([
        runCase({ ...common, isAttached: true }, certificate),
        runCase({ ...common, isAttached: false }, certificate),
      ])
    }, 120_000)

    test('do a stock server no harm: the control', () => {
      expect(problemsAlone(stock)).toEqual([])
    })

    test('do none to an attached one: it lives, nothing is uncaught, listeners get what Node gives, nothing is left', () => {
      expect(problemsOf(attached, stock)).toEqual([])
    })

    test('come in each variant, leave in each way, and at each moment', () => {
      const { connections, moments, missed, refused } = report()
      const variants = VARIANTS.filter(({ version }) => refused === undefined || version === 'TLSv1.2')
      expect(Object.keys(connections).sort()).toEqual(variants.map(variantName).sort())
      for (const count of Object.values(connections)) expect(count).toBeGreaterThanOrEqual(CONNECTIONS)
      const tried = [...Object.keys(moments), ...Object.keys(missed)]
      expect(FAREWELLS.filter((farewell) => !tried.some((one) => one.endsWith(`: ${farewell}`)))).toEqual([])
      // Those that a busy machine made late count as well: they left, though at another moment.
      const isTried = (moment: string): boolean => tried.some((one) => one.startsWith(`${moment}: `))
      expect(MOMENTS.filter((moment) => !isTried(moment))).toEqual([])
      expect(Object.keys(moments).length).toBeGreaterThan(MOMENTS.length / 2)
    })
  },
)
