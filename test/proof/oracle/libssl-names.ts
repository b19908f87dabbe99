import type { DebianSuite } from './debian-packages.ts'

/** Where a libssl comes from: what cc links, a suite of Debian, or a Node binary, which has its own. */
export type LibsslSource =
  | { readonly kind: 'system' }
  | { readonly kind: 'debian'; readonly suite: DebianSuite }
  | { readonly kind: 'node'; readonly nodeVersion: string }

/** A libssl that the harness can run. */
export interface KnownLibssl {
  readonly name: string
  /** The OpenSSL that is expected there; a suite may have moved on. Undefined: whatever the machine has. */
  readonly version: string | undefined
  readonly source: LibsslSource
}

function debian(version: string, library: string, ...suites: readonly string[]): KnownLibssl {
  return { name: version, version, source: { kind: 'debian', suite: { library, suites } } }
}

function node(nodeVersion: string, version: string): KnownLibssl {
  return { name: `node${nodeVersion}`, version, source: { kind: 'node', nodeVersion } }
}

/** From the oldest to the newest, as `--libssl all` runs them. */
export const everyLibssl: readonly KnownLibssl[] = [
  debian('1.1.1w', 'libssl1.1', 'bullseye'),
  node('20.9', '3.0.10'),
  node('22.11', '3.0.15'),
  node('24.0', '3.0.16'),
  debian('3.0.17', 'libssl3', 'bookworm-updates', 'bookworm'),
  node('20.20', '3.0.19'),
  debian('3.0.22', 'libssl3', 'bookworm-security', 'bookworm'),
  node('22.23', '3.5.8'),
  node('24.21', '3.5.8'),
  node('25', '3.5.5'),
  node('26', '3.5.9'),
  debian('3.5.9', 'libssl3t64', 'trixie'),
  debian('3.6.5', 'libssl3t64', 'sid'),
  debian('4.0.3', 'libssl4', 'experimental', 'sid'),
]

/** Versions that the proof is known to hold for. */
export const knownVersions: ReadonlySet<string> = new Set(
  everyLibssl.flatMap(({ version }) => (version === undefined ? [] : [version])),
)

const SYSTEM: KnownLibssl = { name: 'system', version: undefined, source: { kind: 'system' } }

/** By its name, by a suite of Debian, or as `node` and a version. */
export function findLibssl(name: string): KnownLibssl | undefined {
  if (name === SYSTEM.name) return SYSTEM
  const known = everyLibssl.find(
    (libssl) =>
      libssl.name === name || (libssl.source.kind === 'debian' && libssl.source.suite.suites[0] === name),
  )
  if (known !== undefined) return known
  const nodeVersion = /^node(\d+(?:\.\d+){0,2})$/.exec(name)?.[1]
  return nodeVersion === undefined
    ? undefined
    : { name, version: undefined, source: { kind: 'node', nodeVersion } }
}
