import type { Finding } from './findings.ts'

/** Stands for the label of an endpoint while texts are compared. */
const PLACE = '\uE000'
/** It begins the sentence, or what stands behind the version that the sentence is about. */
const SUBJECT = /(^|: )\uE000 /

/**
 * Findings that differ in nothing but the endpoint, as one. Where two endpoints are named, from one to another, the others
 * are listed behind it.
 *
 * @param labels - of all endpoints
 */
export function merged(findings: readonly Finding[], labels: readonly string[]): Finding[] {
  // The longest first: one label may be the beginning of another.
  const known = [...labels].sort((a, b) => b.length - a.length)
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    const { id, severity, method, what, reasons, remedies } = finding
    const key = JSON.stringify([id, severity, method, withPlaces(what, known), reasons, remedies])
    groups.set(key, [...(groups.get(key) ?? []), finding])
  }
  return [...groups.values()].flatMap((group) => mergeGroup(group, known))
}

function mergeGroup(group: readonly Finding[], labels: readonly string[]): Finding[] {
  const [first] = group
  if (first === undefined || group.length === 1) return [...group]
  const named = group.map(({ what }) => placesIn(what, labels))
  const isOfOne = named.every((places) => new Set(places).size === 1)
  const { endpoint: _, ...rest } = first
  if (isOfOne) {
    const all = named.flatMap(([label = '']) => label)
    const what = withPlaces(first.what, labels)
    const [own = '', ...others] = all
    // Of several that are the subject, the verb would have to be another.
    return SUBJECT.test(what)
      ? [{ ...rest, what: `${what.replaceAll(PLACE, own)} Likewise ${listOf(others)}.` }]
      : [{ ...rest, what: what.replaceAll(PLACE, listOf(all)) }]
  }
  const ways = named.slice(1).map(([from, to]) => `${from} > ${to}`)
  return [{ ...rest, what: `${first.what} Likewise ${listOf(ways)}.` }]
}

function withPlaces(text: string, labels: readonly string[]): string {
  return labels.reduce((changed, label) => changed.replaceAll(label, PLACE), text)
}

/** The labels in the order in which the text names them. */
function placesIn(text: string, labels: readonly string[]): string[] {
  let marked = text
  for (const [index, label] of labels.entries()) marked = marked.replaceAll(label, `${PLACE}${index}${PLACE}`)
  return [...marked.matchAll(/\uE000(\d+)\uE000/g)].map(([, index]) => labels[Number(index)] ?? '')
}

function listOf(words: readonly string[]): string {
  const last = words.at(-1) ?? ''
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} and ${last}`
}
