import { rateOf } from './diagnosis.ts'
import type { EndpointFacts, Examination, MethodFacts, Trial, TrialKind } from './examination.ts'
import { type Finding, methodName, type Severity, shown } from './findings.ts'
import { METHODS, type Method } from './probe.ts'
import { type Colour, duration, type Paint, printable, table, wrap } from './terminal.ts'

const MARKS: Readonly<Record<Severity, readonly [string, Colour]>> = {
  problem: ['PROBLEM', 'red'],
  warning: ['WARNING', 'yellow'],
  note: ['note', 'dim'],
  ok: ['ok', 'green'],
}

/** For people: the certificates, the table of what was seen, and what it means. */
export function doctorText(examination: Examination, findings: readonly Finding[], paint: Paint): string {
  return [
    ...examination.endpoints.map((facts) => endpointText(facts, examination, paint)),
    examination.trials.length > 0 ? `${table(tableRows(examination))}\n` : '',
    ...findings.map((finding) => findingText(finding, paint)),
    `\n${conclusion(findings, paint)}\n`,
  ].join('')
}

function endpointText(facts: EndpointFacts, { servername }: Examination, paint: Paint): string {
  const { endpoint, unreachable, certificate, verifyError } = facts
  const name = servername === undefined ? 'without a server name' : `as ${servername}`
  const head = `${paint(endpoint, 'bold')} ${name}\n`
  if (unreachable !== undefined) return `${head}  unreachable: ${unreachable}\n\n`
  if (certificate === undefined) return `${head}  no TLS\n\n`
  const verified = verifyError === undefined ? 'verifies' : `does not verify: ${verifyError}`
  const { subject, issuer, validTo } = certificate
  return `${head}  ${printable(`certificate ${subject}, of ${issuer}, until ${validTo}; ${verified}`)}\n\n`
}

const KIND_NAMES: readonly (readonly [TrialKind, string])[] = [
  ['next', 'on the next connection'],
  ['again', 'the same once more'],
  ['later', 'after others were made'],
]

/** One column for each method, one row for each question. */
function tableRows(examination: Examination): string[][] {
  const rows = examination.endpoints.flatMap(({ endpoint }) => [
    row(`at ${endpoint}`, (method) => tokenText(factsOf(examination, method, endpoint))),
    ...KIND_NAMES.map(([kind, name]) =>
      row(
        `  ${name}`,
        cells(examination, (trial) => trial.kind === kind && trial.from === endpoint),
      ),
    ),
  ])
  const { otherNames, trials, waitSec } = examination
  const ways = new Set(
    trials.filter(({ kind }) => kind === 'elsewhere').map(({ from, to }) => `${from} > ${to}`),
  )
  return [
    ['', ...METHODS.map(methodName)],
    ...rows,
    ...[...ways].map((way) => row(`made at > offered to ${way}`, cells(examination, isOnWay(way)))),
    ...otherNames.map(({ name }) =>
      row(
        `under ${printable(name)}`,
        cells(examination, (trial) => trial.name === name),
      ),
    ),
    ...(trials.some(isAfterWait) ? [row(`after ${duration(waitSec)}`, cells(examination, isAfterWait))] : []),
  ]
}

const isAfterWait = ({ kind }: Trial): boolean => kind === 'after-wait'

function isOnWay(way: string): (trial: Trial) => boolean {
  return ({ kind, from, to }) => kind === 'elsewhere' && way === `${from} > ${to}`
}

function row(title: string, cell: (method: Method) => string): string[] {
  return [title, ...METHODS.map(cell)]
}

function cells({ trials }: Examination, isWanted: (trial: Trial) => boolean): (method: Method) => string {
  return (method) => {
    const rate = rateOf(trials.filter((trial) => trial.method === method && isWanted(trial)))
    return rate.offered === 0 ? '-' : shown(rate)
  }
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
  return `${kind === 'id' ? 'id' : 'ticket'} of ${bytes} bytes${state}${lifetime}`
}

function findingText({ severity, what, reasons, remedies }: Finding, paint: Paint): string {
  const [mark, colour] = MARKS[severity]
  const indent = '           '
  const head = wrap(printable(what), indent).slice(mark.length + 2)
  const parts = [
    `  ${paint(mark, colour)}${head}`,
    ...reasons.map((reason, index) => advice(index === 0 ? 'likely: ' : 'or:     ', reason, indent)),
    ...remedies.map((remedy, index) => advice(index === 0 ? 'do:     ' : '        ', remedy, indent)),
  ]
  return parts.join('')
}

function advice(label: string, text: string, indent: string): string {
  const hanging = `${indent}${' '.repeat(label.length)}`
  return `${indent}${label}${wrap(text, hanging).slice(hanging.length)}`
}

function conclusion(findings: readonly Finding[], paint: Paint): string {
  const count = (severity: Severity): number =>
    findings.filter((finding) => finding.severity === severity).length
  const [problems, warnings] = [count('problem'), count('warning')]
  const parts = [
    ...(problems > 0 ? [paint(plural(problems, 'problem'), 'red')] : []),
    ...(warnings > 0 ? [paint(plural(warnings, 'warning'), 'yellow')] : []),
  ]
  return parts.length > 0 ? parts.join(', ') : paint('All sessions resume.', 'green')
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
