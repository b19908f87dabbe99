import { isTlsServer, rateOf } from './diagnosis.ts'
import { tableRows } from './doctor-table.ts'
import type { EndpointFacts, Examination } from './examination-facts.ts'
import { type Finding, type Severity, versionName } from './findings.ts'
import { merged } from './merged-findings.ts'
import { type Colour, grid, type OutputStream, type Paint, printable, widthOf, wrap } from './terminal.ts'

const MARKS: Readonly<Record<Severity, readonly [string, Colour]>> = {
  problem: ['PROBLEM', 'red'],
  warning: ['WARNING', 'yellow'],
  note: ['note', 'dim'],
  ok: ['ok', 'green'],
}

/** For people: the verdict, why, and the table of what was seen. */
export function doctorText(
  examination: Examination,
  findings: readonly Finding[],
  stream: OutputStream,
  paint: Paint,
): string {
  const width = widthOf(stream)
  const labels = examination.endpoints.map(({ endpoint }) => endpoint)
  return [
    wrapLine(verdictLine(examination, findings, paint), width),
    '\n',
    ...merged(findings, labels).map((finding) => findingText(finding, width, paint)),
    '\n',
    ...examination.endpoints.map((facts) => endpointText(facts, examination, width, paint)),
    examination.trials.length > 0 ? tableText(examination, stream) : '',
  ].join('')
}

/** Colours take no room, and the line begins with its mark. */
function wrapLine(line: string, width: number): string {
  return line.length > width ? wrap(line, '', width) : `${line}\n`
}

/** In one sentence, without its end of line. */
export function verdictLine(examination: Examination, findings: readonly Finding[], paint: Paint): string {
  const [first] = findings
  const severity = first?.severity ?? 'ok'
  const labels = examination.endpoints.map(({ endpoint }) => endpoint)
  const bad = merged(findings, labels).filter(
    (finding) => finding.severity === 'problem' || finding.severity === 'warning',
  )
  const counts = (['problem', 'warning'] as const)
    .map((one) => ({ one, count: bad.filter((finding) => finding.severity === one).length }))
    .filter(({ count }) => count > 0)
    .map(({ one, count }) => paint(plural(count, one), MARKS[one][1]))
  const name =
    examination.client.servername ?? examination.endpoints.map(({ endpoint }) => endpoint).join(', ')
  const sentence = sentenceOf(examination, findings)
  const colour = severity === 'problem' || severity === 'warning' ? MARKS[severity][1] : 'green'
  const end = counts.length > 0 ? ` ${counts.join(', ')}` : ''
  return `${paint(printable(name), 'bold')}: ${paint(sentence, colour)}${end}`
}

function sentenceOf(examination: Examination, findings: readonly Finding[]): string {
  const [first] = findings
  if (!isTlsServer(examination))
    return first?.id === 'cut-short' ? 'Nothing was seen before the run was over.' : 'No TLS server answers.'
  if (examination.methods.every(({ support }) => support === 'failed'))
    return 'A TLS server answers, and no handshake succeeds.'
  if (first?.id === 'both-versions-refused') return 'Clients that offer both versions are refused.'
  const { resumed, offered } = rateOf(examination.trials.filter(({ kind }) => kind !== 'other-name'))
  if (findings.some(({ severity }) => severity === 'problem'))
    return resumed === 0 ? 'Sessions do not resume.' : 'Sessions resume in part.'
  if (offered === 0) return 'Nothing could be offered.'
  return findings.some(({ id }) => id === 'never-resumes')
    ? 'Nearly all clients resume.'
    : 'All sessions resume.'
}

function endpointText(
  facts: EndpointFacts,
  { servername, methods, client }: Examination,
  width: number,
  paint: Paint,
): string {
  const { endpoint, unreachable, certificate, verifyError } = facts
  const name = servername === undefined ? 'without a server name' : `as ${printable(servername)}`
  const start = client.startTls === undefined ? '' : `, ${client.startTls}`
  const head = `${paint(endpoint, 'bold')} ${name}${start}\n`
  if (unreachable !== undefined) return `${head}  unreachable: ${unreachable}\n\n`
  if (certificate === undefined) return `${head}  ${withoutCertificate(facts, methods)}\n\n`
  const verified = verifyError === undefined ? 'verifies' : `does not verify: ${verifyError}`
  const { subject, issuer, validTo } = certificate
  const versions = [
    ...new Set(methods.filter((one) => one.endpoint === endpoint).flatMap(({ protocol }) => protocol ?? [])),
  ]
  const spoken = versions.length > 0 ? `${versions.map(versionName).join(', ')}; ` : ''
  const text = `${spoken}certificate ${subject}, of ${issuer}, until ${validTo}; ${verified}`
  return `${head}${wrap(printable(text), '  ', width)}\n`
}

function withoutCertificate({ endpoint, isCutOff }: EndpointFacts, methods: Examination['methods']): string {
  const here = methods.filter((one) => one.endpoint === endpoint)
  if (here.length === 0 && isCutOff) return 'not looked at: the run was over'
  return here.some(({ support }) => support !== 'failed') ? 'no certificate' : 'no handshake'
}

function tableText(examination: Examination, stream: OutputStream): string {
  const { head, rows } = tableRows(examination)
  const explained = new Map(rows.map(({ title, about }) => [about, title.trim()]))
  const legend = [...explained].map(([about, title]) => wrap(`${title}: ${about}`, '  ', widthOf(stream)))
  return `${grid([head], rows, stream)}\n${legend.join('')}`
}

function findingText({ severity, what, reasons, remedies }: Finding, width: number, paint: Paint): string {
  const [mark, colour] = MARKS[severity]
  const indent = width < 80 ? '    ' : '           '
  const head =
    width < 80
      ? `\n${wrap(printable(what), indent, width)}`
      : wrap(printable(what), indent, width).slice(mark.length + 2)
  const parts = [
    `  ${paint(mark, colour)}${head}`,
    ...reasons.map((reason, index) => advice(index === 0 ? 'likely: ' : 'or:     ', reason, indent, width)),
    ...remedies.map((remedy, index) => advice(index === 0 ? 'do:     ' : '        ', remedy, indent, width)),
  ]
  return parts.join('')
}

function advice(label: string, text: string, indent: string, width: number): string {
  const hanging = `${indent}${' '.repeat(label.length)}`
  return `${indent}${label}${wrap(printable(text), hanging, width).slice(hanging.length)}`
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
