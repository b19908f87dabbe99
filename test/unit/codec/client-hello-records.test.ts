import { describe, expect, test } from 'vitest'
import { decodeClientHello } from '../../../src/codec/client-hello.ts'
import {
  ClientHelloCollector,
  type HelloProgress,
  MAX_CLIENT_HELLO_LENGTH,
} from '../../../src/codec/client-hello-records.ts'
import { ClientHelloError } from '../../../src/errors.ts'
import {
  ascii,
  bytes,
  clientHello,
  clientHelloOfLength,
  concat,
  record,
  records,
  resumingClientHello,
  serverName,
  uint,
} from '../../tools/client-hello-builder.ts'
import fc from '../../tools/fast-check.ts'

const hello = resumingClientHello()

function collect(...chunks: readonly Uint8Array[]): HelloProgress {
  const collector = new ClientHelloCollector()
  let progress = collector.push(bytes(0))
  for (const chunk of chunks) progress = collector.push(chunk)
  return progress
}

/** @returns what is answered to each byte */
function oneByOne(wire: Uint8Array): HelloProgress[] {
  const collector = new ClientHelloCollector()
  return Array.from(wire, (octet) => collector.push(Uint8Array.of(octet)))
}

function complete(message: Uint8Array): HelloProgress {
  return { state: 'complete', message }
}

/** As `toEqual(complete(message))`, a hundred times as fast. */
function isComplete(progress: HelloProgress, message: Uint8Array): boolean {
  return progress.state === 'complete' && Buffer.compare(progress.message, message) === 0
}

describe('a ClientHello is collected', () => {
  test('from one record in one chunk', () => {
    expect(collect(records(hello))).toEqual(complete(hello))
  })

  test('from two chunks, whatever the point between them', () => {
    const wire = records(hello)
    for (let at = 0; at <= wire.length; at++) {
      expect(isComplete(collect(wire.subarray(0, at), wire.subarray(at)), hello)).toBe(true)
    }
  })

  test('from two records, whatever the point between them', () => {
    for (let at = 1; at < hello.length; at++) {
      const wire = concat(record(hello.subarray(0, at)), record(hello.subarray(at)))
      expect(isComplete(collect(wire), hello)).toBe(true)
    }
  })

  test.each([1, 2, 3, 4, 5, 1000])('from fragments of %i bytes, with one byte a chunk', (length) => {
    const progress = oneByOne(records(hello, length))
    expect(progress.pop()).toEqual(complete(hello))
    expect(new Set(progress.map(({ state }) => state))).toEqual(new Set(['incomplete']))
  })

  test.each([50_000, MAX_CLIENT_HELLO_LENGTH - 1, MAX_CLIENT_HELLO_LENGTH])(
    'when it has %i bytes, in records of 16 KiB or of 1,000 bytes',
    (length) => {
      const long = clientHelloOfLength(length)
      expect(long.length).toBe(length)
      expect(collect(records(long))).toEqual(complete(long))
      expect(oneByOne(records(long, 1000)).at(-1)).toEqual(complete(long))
      expect(decodeClientHello(long).cipherSuites[0]).toBe(0x1301)
    },
  )

  test('when the fragment has the most bytes there can be, 16,384 (RFC 9846 §5.1)', () => {
    const long = clientHelloOfLength(16_384)
    expect(collect(record(long))).toEqual(complete(long))
  })

  test('with any minor version in the header of a record (RFC 9846 §5.1)', () => {
    expect(collect(record(hello, { version: 0x0300 }))).toEqual(complete(hello))
    expect(collect(record(hello, { version: 0x03ff }))).toEqual(complete(hello))
  })

  test('when it is nothing but its header: whether it makes sense is not asked', () => {
    expect(collect(record(uint(4, 0x01000000)))).toEqual(complete(uint(4, 0x01000000)))
  })

  test('and what follows it is ignored, in its record, in the chunk and later', () => {
    const collector = new ClientHelloCollector()
    const final = collector.push(concat(record(concat(hello, hello)), bytes(100)))
    expect(final).toEqual(complete(hello))
    expect(collector.push(ascii('GET / HTTP/1.1'))).toBe(final)
  })

  test('without a view on the chunks, which may be used again', () => {
    const wire = records(hello)
    const collector = new ClientHelloCollector()
    collector.push(wire.subarray(0, 500))
    wire.fill(0, 0, 500)
    const final = collector.push(wire.subarray(500))
    wire.fill(0)
    expect(final).toEqual(complete(hello))
  })

  test('as a view on the one chunk that it has come in, wherever that lies in its memory', () => {
    const chunk = concat(bytes(3), records(hello), bytes(9)).subarray(3)
    const collector = new ClientHelloCollector()
    const progress = collector.push(chunk)
    expect(progress).toStrictEqual(complete(hello))
    expect(progress.state === 'complete' && progress.message.buffer).toBe(chunk.buffer)
    expect(collector.received).toBe(chunk.length)
  })

  test('from the fragment of a record that is itself not whole yet', () => {
    const wire = record(concat(hello, bytes(100)))
    expect(collect(wire.subarray(0, 5 + hello.length))).toEqual(complete(hello))
    expect(collect(wire.subarray(0, 4 + hello.length))).toEqual({ state: 'incomplete' })
  })

  test('from a Buffer, into a Uint8Array', () => {
    const progress = collect(Buffer.from(records(hello)))
    expect(progress).toStrictEqual(complete(hello))
  })
})

describe('bytes are foreign at the first one that no ClientHello has', () => {
  const startOfRecord = record(hello.subarray(0, 10))

  test.each<[string, Uint8Array, number]>([
    ['HTTP', ascii('GET / HTTP/1.1\r\n\r\n'), 1],
    ['the PROXY protocol, version 1', ascii('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n'), 1],
    ['the PROXY protocol, version 2', ascii('\r\n\r\n\0\r\nQUIT\n'), 1],
    ['a ClientHello of SSL 2.0', Uint8Array.of(0x80, 0x2e, 1, 3, 1, 0, 0x15), 1],
    ['an alert', record(Uint8Array.of(2, 40), { contentType: 21 }), 1],
    ['major version 2', Uint8Array.of(22, 2, 0), 2],
    ['major version 4', Uint8Array.of(22, 4, 0), 2],
    ['a record without content', Uint8Array.of(22, 3, 1, 0, 0), 5],
    ['a record of 16,385 bytes', Uint8Array.of(22, 3, 1, 0x40, 1), 5],
    ['a record of 16,640 bytes and more', Uint8Array.of(22, 3, 1, 0x41), 4],
    ['a ServerHello', record(clientHello({ messageType: 2 })), 6],
    ['a HelloRequest', record(uint(4, 0)), 6],
    ['another type of record between the fragments', concat(startOfRecord, uint(1, 20)), 16],
    ['an empty record between the fragments', concat(startOfRecord, record(bytes(0))), 20],
    ['HTTP after a fragment', concat(startOfRecord, ascii('GET /')), 16],
  ])('%s', (_, wire, foreignAt) => {
    const states = oneByOne(wire).map(({ state }) => state)
    expect(states.indexOf('foreign')).toBe(foreignAt - 1)
    expect(new Set(states.slice(0, foreignAt - 1))).toEqual(new Set(foreignAt > 1 ? ['incomplete'] : []))
    expect(new Set(states.slice(foreignAt - 1))).toEqual(new Set(['foreign']))
    expect(collect(wire)).toEqual({ state: 'foreign' })
  })

  test('and a ClientHello after that does not change it', () => {
    expect(collect(ascii('G'), records(hello))).toEqual({ state: 'foreign' })
  })
})

describe('a ClientHello is oversized as soon as its length has come', () => {
  test.each([MAX_CLIENT_HELLO_LENGTH + 1, 0x800000 + 4, 0xffffff + 4])('with %i bytes', (length) => {
    const header = uint(4, 0x01000000 + length - 4)
    const progress = oneByOne(record(header))
    expect(progress.at(-2)).toEqual({ state: 'incomplete' })
    expect(progress.at(-1)).toEqual({ state: 'oversized' })
    expect(collect(record(header), records(hello))).toEqual({ state: 'oversized' })
  })

  test('and one byte less is not', () => {
    const header = uint(4, 0x01000000 + MAX_CLIENT_HELLO_LENGTH - 4)
    expect(collect(record(header))).toEqual({ state: 'incomplete' })
  })
})

test('received counts every byte pushed, those after a final state too', () => {
  const collector = new ClientHelloCollector()
  expect(collector.received).toBe(0)
  collector.push(bytes(3, 22))
  collector.push(bytes(0))
  collector.push(bytes(4))
  expect(collector.received).toBe(7)
})

test('any cut of the message into records, and of those into chunks, gives the message', () => {
  const pieces = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(pieces, pieces, (fragmentLengths, chunkLengths) => {
      const wire = concat(...cut(hello, fragmentLengths).map((fragment) => record(fragment)))
      expect(collect(...cut(wire, chunkLengths))).toEqual(complete(hello))
    }),
  )
})

/** The last piece has what is left. */
function cut(whole: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let start = 0
  for (const length of lengths) {
    if (start + length >= whole.length) break
    pieces.push(whole.subarray(start, start + length))
    start += length
  }
  return [...pieces, whole.subarray(start)]
}

test('one byte a chunk of the longest hello, in the smallest records, takes time in proportion', () => {
  const wire = records(clientHelloOfLength(MAX_CLIENT_HELLO_LENGTH), 1)
  const collector = new ClientHelloCollector()
  const started = performance.now()
  let progress: HelloProgress = { state: 'incomplete' }
  for (let at = 0; at < wire.length; at++) progress = collector.push(wire.subarray(at, at + 1))
  expect(progress.state).toBe('complete')
  // Some 100 ms for 786,432 chunks; parsing from the start each time would take hours.
  expect(performance.now() - started).toBeLessThan(20_000)
})

const FUZZ_RUNS = 100_000

test(`${FUZZ_RUNS} mutated and truncated hellos are collected and read, or refused with our error`, () => {
  const random = randomNumbers(0x5eed)
  const seeds = [
    records(hello),
    records(hello, 300),
    records(clientHello({ extensions: undefined })),
    records(clientHello({ sessionId: bytes(32), extensions: [serverName('a.example')] })),
  ]
  const outcomes = { accepted: 0, refused: 0, incomplete: 0, foreign: 0, oversized: 0 }
  for (let run = 0; run < FUZZ_RUNS; run++) {
    const wire = mutate(seeds[run % seeds.length]!, random)
    const at = random(wire.length + 1)
    outcomes[outcomeOf(collect(wire.subarray(0, at), wire.subarray(at)))]++
  }
  // Each outcome is common, or the mutations are not what they should be.
  expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(FUZZ_RUNS / 1000)
}, 120_000)

function outcomeOf(progress: HelloProgress): 'accepted' | 'refused' | 'incomplete' | 'foreign' | 'oversized' {
  if (progress.state !== 'complete') return progress.state
  try {
    decodeClientHello(progress.message)
    return 'accepted'
  } catch (error) {
    if (!(error instanceof ClientHelloError)) throw error
    expect(error.offset).toBeLessThanOrEqual(progress.message.length)
    return 'refused'
  }
}

/** One to three edits, at the beginning more often than elsewhere; one in eight is cut short. */
function mutate(wire: Uint8Array, random: (below: number) => number): Uint8Array {
  let mutated: Uint8Array = wire.slice()
  for (let edits = 1 + random(3); edits > 0; edits--) {
    const at = random(2) === 0 ? random(Math.min(60, mutated.length)) : random(mutated.length)
    const edit = random(8)
    if (edit === 0) mutated = concat(mutated.subarray(0, at), mutated.subarray(at + 1 + random(4)))
    else if (edit === 1)
      mutated = concat(mutated.subarray(0, at), bytes(1, random(256)), mutated.subarray(at))
    else if (edit < 5) mutated[at] = random(256)
    else mutated[at]! ^= 1 << random(8)
  }
  return random(8) === 0 ? mutated.subarray(0, random(mutated.length)) : mutated
}

/** Marsaglia's xorshift32: the same numbers in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
