/** What the programs of this folder are told, as JSON in this variable. */
export const SETTINGS = 'SSLCTX_TEST_SERVER_SESSIONS'

export interface ProgramSettings {
  readonly key: string
  readonly cert: string
  /** Hexadecimal. */
  readonly secret: string
}

export function readSettings(): ProgramSettings {
  return JSON.parse(process.env[SETTINGS] ?? '') as ProgramSettings
}
