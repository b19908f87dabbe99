import { expect, test } from 'vitest'
import { authenticationEndSec, isTooOld } from '../../../src/node/session-rules.ts'

const AUTHENTICATED_SEC = 1_700_000_000
const rules = { maxAuthenticationAgeSec: 100, requireExtendedMasterSecret: false }

test.each([
  ['its age alone', Number.POSITIVE_INFINITY, AUTHENTICATED_SEC + 100],
  ['a certificate chain that ends earlier', AUTHENTICATED_SEC + 50, AUTHENTICATED_SEC + 50],
  ['a certificate chain that ends at the same second', AUTHENTICATED_SEC + 100, AUTHENTICATED_SEC + 100],
  ['a certificate chain that ends later', AUTHENTICATED_SEC + 101, AUTHENTICATED_SEC + 100],
])('an authentication counts for the whole of its last second, by %s (N3)', (_, chainEndSec, endSec) => {
  const origin = { authenticatedAtSec: AUTHENTICATED_SEC, chainEndSec }
  expect(authenticationEndSec(origin, rules)).toBe(endSec)
  expect(isTooOld(origin, endSec * 1000, rules)).toBe(false)
  expect(isTooOld(origin, endSec * 1000 + 999, rules)).toBe(false)
  expect(isTooOld(origin, endSec * 1000 + 1000, rules)).toBe(true)
  expect(isTooOld(origin, Number.NaN, rules)).toBe(true)
})

test('what says nothing of its authentication is not too old', () => {
  expect(isTooOld(undefined, AUTHENTICATED_SEC * 1000, rules)).toBe(false)
})
