import { expect, test } from 'vitest'
import { CLIENT_REASONS } from '../../../src/session/client-reasons.ts'
import { readPage, sectionsOf } from '../../tools/markdown.ts'

test('docs/clients.md has a line for each reason of a client, and no other', () => {
  const table = sectionsOf(readPage('docs/clients.md').text, 2).get('What is seen') ?? ''
  const rows = [...table.matchAll(/^\| `([a-z-]+)` \| \S.*\. \| \S.*\. \|$/gm)].map(([, reason]) => reason)
  expect(rows.sort()).toEqual(Object.keys(CLIENT_REASONS).sort())
})
