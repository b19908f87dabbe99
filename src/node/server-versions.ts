import { TLS1_2_VERSION, TLS1_3_VERSION } from '../session/ssl-constants.ts'
import { nodeTls, type TlsHandle, type TlsServer } from './node-engine.ts'

/** A version of TLS. */
export interface Protocol {
  /** 0 for one that is not known. */
  readonly version: number
  /** The name that Node has for it, in options and in `getProtocol()`. */
  readonly protocol: string
}

const VERSIONS: readonly (Protocol & { readonly off: number })[] = [
  { version: TLS1_3_VERSION, protocol: 'TLSv1.3', off: 0x2000_0000 },
  { version: TLS1_2_VERSION, protocol: 'TLSv1.2', off: 0x0800_0000 },
  { version: 0x0302, protocol: 'TLSv1.1', off: 0x1000_0000 },
  { version: 0x0301, protocol: 'TLSv1', off: 0x0400_0000 },
]

function named(protocol: string): Protocol | undefined {
  for (const one of VERSIONS) if (one.protocol === protocol) return one
  return undefined
}

/** The number of a version, by the name that Node has for it. */
export function versionNumber(name: string): number | undefined {
  return named(name)?.version
}

/** That of a connection. The name is a constant, by which things are found faster. */
export function protocolOf(handle: TlsHandle): Protocol {
  const protocol = handle.getProtocol()
  return named(protocol) ?? { version: 0, protocol }
}

/** The name that Node has for one of {@link serverVersions}. */
export function versionName(version: number): string {
  for (const one of VERSIONS) if (one.version === version) return one.protocol
  return 'unknown'
}

/** A version that this table does not know is a later one; too low a guess would be dangerous, see negotiatedVersion. */
const bound = (name: string): number => versionNumber(name) ?? TLS1_3_VERSION

/** What decides about the versions of a server, and may be set at any time. */
interface VersionSettings {
  readonly minVersion: string
  readonly maxVersion: string
  readonly secureOptions: number | undefined
  readonly secureProtocol: string | undefined
}

/** Most processes have servers of one kind. */
let latest: { readonly settings: VersionSettings; readonly versions: readonly number[] } | undefined

/** The versions that the server will speak, highest first: by `secureProtocol`, or by range, and SSL_OP_NO_TLSv1_x. */
export function serverVersions(server: TlsServer): readonly number[] {
  const { secureOptions, secureProtocol } = server
  const { DEFAULT_MIN_VERSION, DEFAULT_MAX_VERSION } = nodeTls()
  const minVersion = server.minVersion ?? DEFAULT_MIN_VERSION
  const maxVersion = server.maxVersion ?? DEFAULT_MAX_VERSION
  const known = latest?.settings
  if (
    latest === undefined ||
    known?.minVersion !== minVersion ||
    known.maxVersion !== maxVersion ||
    known.secureOptions !== secureOptions ||
    known.secureProtocol !== secureProtocol
  ) {
    const settings: VersionSettings = { minVersion, maxVersion, secureOptions, secureProtocol }
    latest = { settings, versions: versionsOf(settings) }
  }
  return latest.versions
}

function versionsOf(settings: VersionSettings): readonly number[] {
  const [min, max] = versionRange(settings)
  const options = settings.secureOptions ?? 0
  return VERSIONS.filter(({ version, off }) => version >= min && version <= max && (options & off) === 0).map(
    ({ version }) => version,
  )
}

function versionRange({
  secureProtocol,
  minVersion,
  maxVersion,
}: VersionSettings): readonly [number, number] {
  if (secureProtocol === undefined || secureProtocol === '') return [bound(minVersion), bound(maxVersion)]
  // "TLSv1_2_server_method" is one version, "TLS_method" all of them, "SSLv23_method" those up to TLS 1.2.
  const [, minor] = /^TLSv1(?:_(\d))?_(?:server_|client_)?method$/.exec(secureProtocol) ?? [undefined, null]
  if (minor !== null) return [0x0301 + Number(minor ?? 0), 0x0301 + Number(minor ?? 0)]
  return [0x0301, secureProtocol.startsWith('TLS_') ? TLS1_3_VERSION : TLS1_2_VERSION]
}
