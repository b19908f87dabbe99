import { expect, test } from 'vitest'
import { readPage, sectionsOf } from '../docs/markdown.ts'
import { unionIn } from '../docs/source-unions.ts'

test('docs/clients.md has a line for each reason of a client, and no other', () => {
  const table = sectionsOf(readPage('docs/clients.md').text, 2).get('What is seen') ?? ''
  const rows = [...table.matchAll(/^\| `([a-z-]+)` \| \S.*\. \| \S.*\. \|$/gm)].map(([, reason]) => reason)
  expect(rows.sort()).toEqual([...unionIn('client/client-reason.ts', 'ClientReason')].sort())
})
