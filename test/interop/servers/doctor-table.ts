import { METHODS } from '../../tools/methods.ts'
import type { Meeting } from './by-hand.ts'
import type { DoctorRow } from './doctor-rows.ts'

const SHORT: Readonly<Record<Meeting, string>> = {
  resumes: 'resumes',
  'does not resume': 'not',
  'nothing to offer': '-',
  'no handshake': 'refused',
}

/** In Markdown. */
export function doctorTable(rows: readonly DoctorRow[]): string {
  const head = ['server', 'by id', 'by ticket', 'TLS 1.3', 'first finding', 'exit', 's_client']
  const lines = rows
    .filter(({ missing }) => missing === undefined)
    .map(({ name, doctor: seen, finding = '', exitCode, problems }) => [
      name,
      ...METHODS.map((method) => (seen ? SHORT[seen[method]] : '')),
      finding,
      String(exitCode),
      problems.length === 0 ? 'agrees' : `DIFFERS: ${problems.join('; ')}`,
    ])
  const widths = head.map((title, index) =>
    Math.max(title.length, ...lines.map((line) => line[index]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, index) => text.padEnd(widths[index] ?? 0)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...lines.map(line)].join('\n')
}
