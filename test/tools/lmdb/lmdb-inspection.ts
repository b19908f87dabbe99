import type { RootDatabase } from 'lmdb'

/** What the databases hold, past the store: every session under its key, and what does not fit together. */
export interface LmdbInspection {
  readonly keys: ReadonlySet<string>
  readonly problems: readonly string[]
}

/** Scans the whole store: each session must have exactly the index entry that its header names, and there must be no other. */
export function inspectLmdb(root: RootDatabase): LmdbInspection {
  const options = { encoding: 'binary', keyEncoding: 'binary', compression: false } as const
  const sessions = root.openDB<Buffer, Buffer>({ name: 'sslctx-sessions', ...options, useVersions: false })
  const index = root.openDB<Buffer, Buffer>({ name: 'sslctx-expiry', ...options, useVersions: true })
  root.resetReadTxn()
  const indexed = new Map(
    [...index.getRange({ versions: true })].map(({ key, version }) => [hex(key), version]),
  )
  const keys = new Set<string>()
  const problems: string[] = []
  for (const { key, value } of sessions.getRange()) {
    keys.add(hex(key))
    const indexKey = hex(value.subarray(0, 6)) + hex(key)
    if (indexed.get(indexKey) !== value.readUIntBE(6, 6))
      problems.push('a session that its index entry does not name')
    indexed.delete(indexKey)
  }
  for (const _ of indexed) problems.push('an index entry without a session')
  return { keys, problems }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
