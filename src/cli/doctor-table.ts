import { rateOf } from './diagnosis.ts'
import type { Examination, MethodFacts, Trial, TrialKind } from './examination-facts.ts'
import { methodName, seconds, shown, versionName } from './findings.ts'
import { METHODS, type Method } from './probe.ts'
import { duration, type GridRow, printable } from './terminal.ts'

/** With a cell for each method. */
export interface TableRow extends GridRow {
  /** What the row is, in one line. */
  readonly about: string
}

const KINDS: readonly (readonly [TrialKind, string, string])[] = [
  ['next', 'on the next connection', 'each session, at once'],
  ['again', 'the same once more', 'each session a second time, as parallel connections of a client do'],
  ['later', 'after others were made', 'several sessions, when all are made: a small cache has lost some'],
]

/** One column for each method, one row for each question. */
export function tableRows(examination: Examination): {
  readonly head: readonly string[]
  readonly rows: readonly TableRow[]
} {
  const { otherNames, trials, waitSec } = examination
  const here = examination.endpoints.flatMap(({ endpoint }) => rowsOf(endpoint, examination))
  const ways = new Set(
    trials.filter(({ kind }) => kind === 'elsewhere').map(({ from, to }) => `${from} > ${to}`),
  )
  const rows = [
    ...here,
    ...[...ways].map((way) => ({
      title: `made at > offered to ${way}`,
      cells: cells(examination, isOnWay(way)),
      about: 'sessions of one address, offered to another',
    })),
    ...otherNames.map(({ name }) => ({
      title: `under ${printable(name)}`,
      cells: cells(examination, (trial) => trial.name === name),
      about: 'sessions, offered under another server name',
    })),
    ...(trials.some(isAfterWait)
      ? [
          {
            title: `after ${waitSec < 60 ? seconds(waitSec) : duration(waitSec)}`,
            cells: cells(examination, isAfterWait),
            about: 'sessions that have waited for so long',
          },
        ]
      : []),
  ]
  return { head: METHODS.map((method) => headOf(method, examination)), rows }
}

/** Insecurely, what is called TLS 1.2 may be older. */
function headOf(method: Method, { methods }: Examination): string {
  return methodName(method, methods.find((facts) => facts.method === method && facts.protocol)?.protocol)
}

function rowsOf(endpoint: string, examination: Examination): TableRow[] {
  return [
    {
      title: `at ${endpoint}`,
      cells: METHODS.map((method) => tokenText(factsOf(examination, method, endpoint))),
      about: 'what the server gives to resume with, and the announced lifetime',
    },
    ...KINDS.map(([kind, title, about]) => ({
      title: `  ${title}`,
      cells: cells(examination, (trial) => trial.kind === kind && trial.from === endpoint),
      about,
    })),
  ]
}

const isAfterWait = ({ kind }: Trial): boolean => kind === 'after-wait'

function isOnWay(way: string): (trial: Trial) => boolean {
  return ({ kind, from, to }) => kind === 'elsewhere' && way === `${from} > ${to}`
}

function cells({ trials }: Examination, isWanted: (trial: Trial) => boolean): string[] {
  return METHODS.map((method) => {
    const rate = rateOf(trials.filter((trial) => trial.method === method && isWanted(trial)))
    return rate.offered === 0 ? '-' : shown(rate)
  })
}

function factsOf({ methods }: Examination, method: Method, endpoint: string): MethodFacts | undefined {
  return methods.find((facts) => facts.method === method && facts.endpoint === endpoint)
}

function tokenText(facts: MethodFacts | undefined): string {
  if (facts === undefined) return '-'
  if (facts.support === 'failed') return 'refused'
  if (facts.token === undefined) return 'none given'
  const { kind, bytes, lifetimeSec } = facts.token
  const lifetime = lifetimeSec > 0 ? `, ${lifetimeSec} s` : ''
  const state = kind === 'stateful-ticket' ? ' (stateful)' : ''
  const { protocol = '' } = facts
  const old = protocol === 'TLSv1' || protocol === 'TLSv1.1' ? `${versionName(protocol)}, ` : ''
  return `${old}${kind === 'id' ? 'id' : 'ticket'} of ${bytes} bytes${state}${lifetime}`
}
