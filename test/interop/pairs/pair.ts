import { clientName } from '../certificates.ts'
import type { Client, Target } from '../clients/client.ts'
import { SERVER_NAME, type Setup, type Version } from '../setups.ts'
import { type Explanation, explanations } from './explanations.ts'
import type { Visit } from './messages.ts'
import type { Servers } from './servers.ts'

/** How often a client has the chance to resume, after its first connection. */
export const CHANCES = 4

/** A client and one server. */
export interface Pair {
  readonly client: string
  readonly version: Version
  readonly setup: Setup
}

export type Verdict =
  | { readonly state: 'resumed' }
  | { readonly state: 'explained'; readonly reason: string }
  | { readonly state: 'unexplained'; readonly problems: readonly string[] }

/** As the server says. */
export interface Counts {
  readonly offered: number
  readonly resumed: number
}

export interface PairResult extends Pair, Counts {
  readonly verdict: Verdict
}

type Files = Pick<Target, 'authority' | 'certificate'>

let lastPath = 0

export async function runPair(
  pair: Pair,
  client: Client,
  servers: Servers,
  files: Files,
): Promise<PairResult> {
  const { version, setup } = pair
  const paths = Array.from({ length: CHANCES + 1 }, () => `/${++lastPath}`)
  try {
    const claims = await client.visit({ port: servers.port(version, setup), paths, ...files })
    const visits = await Promise.all(paths.map((path) => servers.visit(path)))
    const problems = [
      ...(claims.length === paths.length ? [] : [`the client speaks of ${claims.length} connections`]),
      ...visits.flatMap((visit, index) => problemsOf(pair, visit, index, claims[index])),
      ...servers.takeFailures(version, setup),
    ]
    const chances = visits.slice(1)
    const counts = {
      offered: chances.filter((visit) => isOffer(visit, servers)).length,
      resumed: chances.filter(({ outcome }) => outcome === 'resumed').length,
    }
    const history = chances.map(({ outcome, reason }) => `${outcome} (${reason})`).join(', ')
    return { ...pair, ...counts, verdict: withHistory(judge(pair, counts, problems), history) }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const problems = [message, ...servers.takeFailures(version, setup)]
    return { ...pair, offered: 0, resumed: 0, verdict: { state: 'unexplained', problems } }
  }
}

/** What is wrong with a connection, whether or not it should have been resumed. */
function problemsOf(
  { version, setup }: Pair,
  visit: Visit,
  index: number,
  claim: boolean | undefined,
): string[] {
  const { outcome } = visit
  const problems: string[] = []
  if (index === 0 && outcome !== 'full') problems.push(`is ${outcome}, although it is the first`)
  if (claim !== undefined && claim !== (outcome === 'resumed'))
    problems.push(`is ${outcome}, but the client says ${claim ? 'resumed' : 'full'}`)
  if (visit.protocol !== version) problems.push(`speaks ${visit.protocol}`)
  if (visit.serverName !== SERVER_NAME) problems.push(`is for the name ${visit.serverName}`)
  const expectedName = setup.clientCertificate ? clientName(setup.keyKind) : undefined
  if (visit.clientName !== expectedName) problems.push(`is authorized for ${visit.clientName}`)
  return problems.map((problem) => `connection ${index} ${problem}`)
}

/** A client of TLS 1.3 that has no session sends a server of TLS 1.2 a random id (RFC 9846 §4.2.2, RFC 8446 §4.1.2): that is no offer. */
function isOffer({ reason, missedId }: Visit, servers: Servers): boolean {
  return reason !== 'not-offered' && (missedId === undefined || servers.hasIssued(missedId))
}

/** @param problems - what is wrong besides how often it was resumed */
export function judge(
  { client, version, setup }: Pair,
  { offered, resumed }: Counts,
  problems: readonly string[],
  known: readonly Explanation[] = explanations,
): Verdict {
  const explanation = known.find(
    (one) => one.client === client && one.version === version && one.layouts.includes(setup.layout),
  )
  const expected = explanation ?? { offered: CHANCES, resumed: CHANCES }
  const isExpected = offered === expected.offered && resumed === expected.resumed
  const seen = `of ${CHANCES} chances offered ${offered}, resumed ${resumed}`
  if (!isExpected || problems.length > 0)
    return {
      state: 'unexplained',
      problems: [
        ...(isExpected ? [] : [explanation === undefined ? seen : `${seen}, other than explained`]),
        ...problems,
      ],
    }
  return explanation === undefined ? { state: 'resumed' } : { state: 'explained', reason: explanation.reason }
}

function withHistory(verdict: Verdict, history: string): Verdict {
  return verdict.state === 'unexplained' ? { ...verdict, problems: [...verdict.problems, history] } : verdict
}
