/**
 * Changes of libssl that a trace can tell from what was before, each with the first release of each branch that has it; later
 * branches have it, too. docs/libssl.md says what they are.
 */
const sinceReleases = {
  SORT: ['3.0.0'],
  'EVICT-FIRST': ['3.0.6', '3.1.0'],
  NORES: ['3.0.14', '3.1.6', '3.2.2', '3.3.0'],
  OSSLTIME: ['3.2.0'],
  LISTFIX: ['3.4.5', '3.5.6', '3.6.2', '4.0.0'],
  EMSALERT: ['3.0.19', '3.3.6', '3.4.4', '3.5.5', '3.6.1'],
  SRVCLEAR: ['3.0.17', '3.2.5', '3.3.4', '3.4.2', '3.5.1'],
  IDCHECK: ['3.6.3', '4.0.1', '4.1.0'],
  CBUNLOCK: ['3.6.4', '4.0.2', '4.1.0'],
  REISSUE: ['3.0.21', '3.4.6', '3.5.7', '3.6.3', '4.0.1'],
  BINDERALERT: ['3.2.0'],
  MFLUNSET: ['3.0.14', '3.1.6', '3.2.2', '3.3.0'],
  KEXGROUP: ['3.0.0'],
  EOFFATAL: ['3.0.0'],
  EMSOPTION: ['3.0.0'],
  EXTRATICKET: ['3.0.0'],
  SNICOUNT: ['3.2.0'],
  CLEARALERT: ['3.2.0'],
  FATALREAD: ['4.0.0'],
  LIFECAP: ['1.1.1o', '3.0.3'],
} as const satisfies Readonly<Record<string, readonly string[]>>

export type SwitchName = keyof typeof sinceReleases
export type Switches = Readonly<Record<SwitchName, boolean>>

export const switchNames: readonly SwitchName[] = Object.keys(sinceReleases) as SwitchName[]
export const releasesOf: Readonly<Record<SwitchName, readonly string[]>> = sinceReleases

/** @param version - such as 1.1.1w or 3.5.8 */
export function switchesOf(version: string): Switches {
  return Object.fromEntries(switchNames.map((name) => [name, isSince(version, releasesOf[name])])) as Record<
    SwitchName,
    boolean
  >
}

/** By the branch's own first release, if it has one; otherwise every branch after the last that has. */
function isSince(version: string, since: readonly string[]): boolean {
  const [branch, patch] = parse(version)
  const parsed = since.map(parse)
  const own = parsed.find((release) => release[0] === branch)
  return own === undefined ? branch > Math.max(...parsed.map((release) => release[0])) : patch >= own[1]
}

/** Branch and patch as numbers that can be compared; the letter of 1.1.1w is its patch. */
function parse(version: string): readonly [branch: number, patch: number] {
  const [, major = '', minor = '', patch = '', letter = ''] =
    /^(\d+)\.(\d+)(?:\.(\d+))?([a-z]?)/.exec(version) ?? []
  return [
    Number(major) * 1000 + Number(minor),
    Number(patch) * 100 + (letter === '' ? 0 : letter.charCodeAt(0) - 96),
  ]
}
