import { describe, expect, test } from 'vitest'
import {
  cipherSuiteHash,
  isExpired,
  isTicketAgeCredible,
  judgeSession,
  type ResumptionRequirements,
} from '../../../src/session/judge-session.ts'
import { makeSession, START_SEC, TLS12, TLS13 } from '../../tools/model-fixtures.ts'

const NOW_MS = START_SEC * 1000
const CONTEXT = Uint8Array.of(1)
const required: ResumptionRequirements = {
  protocolVersion: TLS12,
  sessionIdContext: CONTEXT,
  verifyMode: 0,
  extendedMasterSecret: undefined,
}

describe('a candidate for resumption (R3.3 steps 3 to 7)', () => {
  test.each([
    ['all is well', {}, {}, undefined],
    ['its version is another', { protocolVersion: TLS13 }, {}, { reason: 'version-mismatch' }],
    [
      'its session id context is longer',
      { sessionIdContext: Uint8Array.of(1, 2) },
      {},
      { reason: 'session-id-context-mismatch' },
    ],
    [
      'its session id context is another',
      { sessionIdContext: Uint8Array.of(2) },
      {},
      { reason: 'session-id-context-mismatch' },
    ],
    [
      'the server verifies clients without a context of its own',
      { sessionIdContext: new Uint8Array(0) },
      { sessionIdContext: new Uint8Array(0), verifyMode: 1 },
      { reason: 'session-id-context-uninitialized', alert: 80 },
    ],
    ['the server verifies clients, with a context', {}, { verifyMode: 3 }, undefined],
    [
      'only FAIL_IF_NO_PEER_CERT is set',
      { sessionIdContext: new Uint8Array(0) },
      { sessionIdContext: new Uint8Array(0), verifyMode: 2 },
      undefined,
    ],
    ['it has expired', { timeSec: START_SEC - 101 }, {}, { reason: 'expired' }],
    [
      'it has extended master secret, the ClientHello not',
      { flags: 1 },
      { extendedMasterSecret: false },
      { reason: 'extended-master-secret-dropped', alert: 40 },
    ],
    [
      'it lacks the extended master secret of the ClientHello',
      {},
      { extendedMasterSecret: true },
      { reason: 'extended-master-secret-added' },
    ],
    ['both have extended master secret', { flags: 1 }, { extendedMasterSecret: true }, undefined],
    ['neither has extended master secret', { flags: 2 }, { extendedMasterSecret: false }, undefined],
  ])('when %s', (_, fields, changes, objection) => {
    const session = makeSession(1, { sessionIdContext: CONTEXT, ...fields })
    expect(judgeSession(session, NOW_MS, { ...required, ...changes })).toEqual(objection)
  })

  test('is held against version, context, verification and age, in that order', () => {
    const hopeless = makeSession(1, {
      protocolVersion: TLS13,
      timeSec: 1,
      sessionIdContext: new Uint8Array(0),
      flags: 1,
    })
    const all = { ...required, verifyMode: 1, extendedMasterSecret: false }
    expect(judgeSession(hopeless, NOW_MS, all)?.reason).toBe('version-mismatch')
    expect(judgeSession(hopeless, NOW_MS, { ...all, protocolVersion: TLS13 })?.reason).toBe(
      'session-id-context-mismatch',
    )
    const bare = { ...all, protocolVersion: TLS13, sessionIdContext: new Uint8Array(0) }
    expect(judgeSession(hopeless, NOW_MS, bare)?.reason).toBe('session-id-context-uninitialized')
    expect(judgeSession(hopeless, NOW_MS, { ...bare, verifyMode: 0 })?.reason).toBe('expired')
  })

  test('is valid while its age equals its timeout, and not a millisecond longer', () => {
    const session = makeSession(1)
    expect(isExpired(session, NOW_MS + 100_000)).toBe(false)
    expect(isExpired(session, NOW_MS + 100_001)).toBe(true)
    expect(isExpired(session, Number.NaN)).toBe(true)
  })
})

test.each([
  [0x1300, undefined],
  [0x1301, 'sha256'],
  [0x1302, 'sha384'],
  [0x1303, 'sha256'],
  [0x1305, 'sha256'],
  [0x1306, undefined],
  [0xc02b, 'sha256'],
  [0xc02c, 'sha384'],
  [0x009d, 'sha384'],
  [0x009e, 'sha256'],
  [0xc013, undefined],
  [undefined, undefined],
] as const)('the hash of suite %s is %s (RFC 9846 §B.4, RFC 5289)', (suite, hash) => {
  expect(cipherSuiteHash(suite)).toBe(hash)
})

describe('a ticket age (R10.10)', () => {
  const session = makeSession(1, { ticketAgeAdd: 5000, timeoutSec: 100 })
  test.each([
    ['is credible when it agrees', 20_000, 20_000, true],
    ['may be one second more than ours', 20_000, 21_000, true],
    ['may not be more than one second more', 20_000, 21_001, false],
    ['may be nine seconds less than ours', 20_000, 11_000, true],
    ['may not be less than nine seconds less', 20_000, 10_999, false],
    ['counts up to the timeout', 100_000, 100_000, true],
    ['counts no longer than the timeout', 100_001, 100_001, false],
  ])('%s', (_, elapsedMs, clientAgeMs, credible) => {
    expect(isTicketAgeCredible(session, clientAgeMs + 5000, NOW_MS + elapsedMs)).toBe(credible)
  })

  test('stops at zero where the obfuscation would make it negative, as OSSL_TIME does', () => {
    expect(isTicketAgeCredible(session, 0, NOW_MS)).toBe(true)
    expect(isTicketAgeCredible(session, 5000, NOW_MS - 60_000)).toBe(true)
  })
})
