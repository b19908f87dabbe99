import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { decodePem, encodePem } from '../../../src/codec/pem.ts'
import { SessionDerError } from '../../../src/errors.ts'
import { toHex } from '../../tools/hex.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { V2, V3 } from '../../tools/session-fields.ts'

const openssl = missingCommand('openssl', 'version')
const BEGIN = '-----BEGIN SSL SESSION PARAMETERS-----'
const END = '-----END SSL SESSION PARAMETERS-----'

function refusal(text: string): SessionDerError {
  try {
    decodePem(text)
  } catch (error) {
    if (error instanceof SessionDerError) return error
    throw error
  }
  throw new Error('was accepted')
}

describe('PEM', () => {
  test.each([1, 2, 3, 47, 48, 49])('%i bytes come back as they were written', (length) => {
    const bytes = new Uint8Array(length).map((_, index) => index * 37)
    expect(toHex(decodePem(encodePem(bytes)))).toBe(toHex(bytes))
  })

  test('is base64 in lines of 64 characters between the lines of its label', () => {
    const lines = encodePem(V2).trimEnd().split('\n')
    expect(lines.at(0)).toBe(BEGIN)
    expect(lines.at(-1)).toBe(END)
    expect(lines.slice(1, -1).map((line) => line.length)).toEqual([64, 64, 32])
    expect(lines.slice(1, -1).join('')).toBe(Buffer.from(V2).toString('base64'))
  })

  test.each([
    ['no block', 'nothing here', /must hold the line/, 0],
    ['another label', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----', /must hold the line/, 0],
    ['no end', `${BEGIN}\nAAAA\n`, /after its beginning/, 44],
    ['a character outside of the alphabet', `${BEGIN}\nAA*A\n${END}`, /base64 and nothing else/, 41],
    [
      'an encryption header',
      `${BEGIN}\nProc-Type: 4,ENCRYPTED\n\nAAAA\n${END}`,
      /base64 and nothing else/,
      43,
    ],
    ['data after padding', `${BEGIN}\nAA==AAAA\n${END}`, /base64 and nothing else/, 43],
    ['three padding characters', `${BEGIN}\nA===\n${END}`, /base64 and nothing else/, 42],
    ['a part of a group', `${BEGIN}\nAAA\n${END}`, /whole groups/, 43],
    ['a group that lacks two characters', `${BEGIN}\nAA\n${END}`, /whole groups/, 42],
    ['nothing in it', `${BEGIN}\n${END}`, /got none/, 39],
    ['an empty line', `${BEGIN}\nAAAA\n\nAAAA\n${END}`, /empty line/, 44],
    ['white space within a line', `${BEGIN}\nAA AA\n${END}`, /base64 and nothing else/, 41],
    ['a beginning within a line', `x${BEGIN}\nAAAA\n${END}`, /must hold the line/, 0],
    ['base64 on the line of the beginning', `${BEGIN}AAAA\n${END}`, /must hold the line/, 0],
    ['an end within a line', `${BEGIN}\nAAAA${END}\n`, /after its beginning/, 80],
    ['the end of another label', `${BEGIN}\nAAAA\n-----END X-----\n${END}`, /base64 and nothing else/, 44],
    ['unused bits that are set', `${BEGIN}\nAAB=\n${END}`, /unused bits/, 44],
  ])('with %s is refused', (_, text, message, offset) => {
    const error = refusal(text)
    expect(error.message).toMatch(message)
    expect(error.offset).toBe(offset)
  })

  test('may have lines that end in white space and CR LF, and no line feed at the end (RFC 7468 §3)', () => {
    expect(toHex(decodePem(`${BEGIN} \t\r\nAQ==\r\n${END} `))).toBe('01')
  })

  test('may have lines of any length', () => {
    expect(toHex(decodePem(`${BEGIN}\nA\nQIDBAUG\n${END}`))).toBe('010203040506')
  })

  test('may stand after a block of another label, and after its own end', () => {
    const other = '-----BEGIN X-----\n//8=\n-----END X-----\n'
    expect(toHex(decodePem(`${END}\n${other}${BEGIN}\nAQ==\n${END}\n${other}`))).toBe('01')
  })

  test('leaves bits unused only where there is padding', () => {
    expect(toHex(decodePem(`${BEGIN}\nAQ==\n${END}`))).toBe('01')
    expect(refusal(`${BEGIN}\nAR==\n${END}`).message).toMatch(/unused bits/)
  })
})

describe('openssl sess_id', () => {
  peerTest('reads our PEM and writes the same PEM and DER', openssl, () => {
    for (const der of [V2, V3]) {
      const run = (form: string): Buffer =>
        execFileSync('openssl', ['sess_id', '-outform', form], { input: encodePem(der) })
      expect(run('PEM').toString()).toBe(encodePem(der))
      expect(toHex(run('DER'))).toBe(toHex(der))
    }
  })

  peerTest('sees what we wrote', openssl, () => {
    const text = execFileSync('openssl', ['sess_id', '-noout', '-text'], { input: encodePem(V3) }).toString()
    expect(text).toMatch(/Protocol {2}: TLSv1\.2/)
    expect(text).toMatch(/Session-ID: 000102030405/)
    expect(text).toMatch(/Session-ID-ctx: 637478/)
    expect(text).toMatch(/Timeout {3}: 7200/)
    expect(text).toMatch(/Extended master secret: yes/)
  })
})
