export const SERVER_NAME = 'interop.example'

export const versions = ['TLSv1.2', 'TLSv1.3'] as const
export type Version = (typeof versions)[number]

export const keyKinds = ['ecdsa', 'rsa'] as const
export type KeyKind = (typeof keyKinds)[number]

export const layouts = ['one', 'cluster', 'tickets'] as const
/**
 * One process, a `node:cluster` of {@link CLUSTER_SIZE} workers with an external store between them, or such a cluster with stateless
 * tickets under one secret.
 */
export type Layout = (typeof layouts)[number]
export const CLUSTER_SIZE = 4

/** What a server is like; with a {@link Version} it is one server of the run. */
export interface Setup {
  readonly keyKind: KeyKind
  readonly clientCertificate: boolean
  readonly layout: Layout
}

/** @returns how many processes have the servers of a layout */
export function processesOf(layout: Layout): number {
  return layout === 'one' ? 1 : CLUSTER_SIZE
}

/** TLS 1.2 has no stateless tickets where client certificates are requested. */
export function versionsOf({ clientCertificate, layout }: Setup): readonly Version[] {
  return layout === 'tickets' && clientCertificate ? ['TLSv1.3'] : versions
}

export const setups: readonly Setup[] = layouts.flatMap((layout) =>
  keyKinds.flatMap((keyKind) =>
    [false, true].map((clientCertificate) => ({ keyKind, clientCertificate, layout })),
  ),
)

/** Of a quick run: where most can go wrong. */
export const quickSetups: readonly Setup[] = setups.filter(
  ({ keyKind, clientCertificate, layout }) =>
    keyKind === 'ecdsa' && (layout === 'tickets' || (clientCertificate && layout === 'cluster')),
)

export function setupName({ keyKind, clientCertificate, layout }: Setup): string {
  const names = { one: 'one process', cluster: 'cluster', tickets: 'cluster with tickets' } as const
  const parts = [keyKind === 'ecdsa' ? 'ECDSA' : 'RSA', names[layout]]
  return [...parts, ...(clientCertificate ? ['client certificate'] : [])].join(', ')
}

export function serverKey(version: Version, setup: Setup): string {
  return `${version}, ${setupName(setup)}`
}
