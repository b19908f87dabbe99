/** Session id contexts: R9.1. */
export const CONTEXTS = ['a6ca', '-', '00', '63747832', '77'.repeat(32)] as const

export const TWO_IDS = ['11'.repeat(32), '22'.repeat(32)] as const

/** A connection that is opened, has its handshake, and is closed as it should be. */
export function visit(k: number, session: string, ...between: readonly string[]): string[] {
  return [
    `free ${k}`,
    `open ${k}`,
    `set ${k} ${session}`,
    ...between,
    `handshake ${k}`,
    `read ${k} c`,
    `shutdown ${k} s`,
    `shutdown ${k} c`,
  ]
}
