import type { Random } from '../../tools/random.ts'

type Mutation = (bytes: Buffer, random: Random, other: Buffer) => Buffer

function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)))
}

/** At `position`, `removed` bytes give way to others. */
function splice(bytes: Buffer, position: number, removed: number, ...inserted: readonly Buffer[]): Buffer {
  return Buffer.concat([bytes.subarray(0, position), ...inserted, bytes.subarray(position + removed)])
}

/** Where lengths are looked at first: records, handshake message, vectors of the ClientHello. */
const EARLY = 160
const LENGTHS = [0, 1, 2, 31, 33, 0xff, 0x3fff, 0x4000, 0x4001, 0x7fff, 0x8000, 0xffff]

const truncate: Mutation = (bytes, random) => bytes.subarray(0, random.below(bytes.length))

const flip: Mutation = (bytes, random) => {
  const copy = Buffer.from(bytes)
  for (let count = 1 + random.below(8); count > 0; count--) {
    const position = random.below(copy.length)
    copy.writeUInt8(copy.readUInt8(position) ^ (1 << random.below(8)), position)
  }
  return copy
}

const lie: Mutation = (bytes, random) => {
  const position = random.below(Math.max(1, Math.min(bytes.length, EARLY) - 1))
  const length = Buffer.alloc(2)
  length.writeUInt16BE(random.pick(LENGTHS))
  return splice(bytes, position, 2, length)
}

const scribble: Mutation = (bytes, random) => {
  const length = 1 + random.below(32)
  return splice(bytes, random.below(bytes.length), length, randomBytes(random, length))
}

const remove: Mutation = (bytes, random) => splice(bytes, random.below(bytes.length), 1 + random.below(64))

const insert: Mutation = (bytes, random) =>
  splice(bytes, random.below(bytes.length), 0, randomBytes(random, 1 + random.below(64)))

const repeat: Mutation = (bytes, random) => {
  const start = random.below(bytes.length)
  return splice(bytes, start, 0, bytes.subarray(start, start + 1 + random.below(256)))
}

const cross: Mutation = (bytes, random, other) =>
  Buffer.concat([bytes.subarray(0, random.below(bytes.length)), other.subarray(random.below(other.length))])

/** The first record, in several. */
const fragment: Mutation = (bytes, random) => {
  const [header, rest] = [bytes.subarray(0, 3), bytes.subarray(5)]
  const size = 1 + random.below(64)
  const pieces: Buffer[] = []
  for (let start = 0; start < rest.length; start += size) {
    const piece = rest.subarray(start, start + size)
    const length = Buffer.alloc(2)
    length.writeUInt16BE(piece.length)
    pieces.push(header, length, piece)
  }
  return Buffer.concat(pieces)
}

const garbage: Mutation = (_bytes, random) => randomBytes(random, 1 + random.below(512))

const mutations: readonly Mutation[] = [
  truncate,
  truncate,
  flip,
  flip,
  lie,
  lie,
  scribble,
  remove,
  insert,
  repeat,
  cross,
  fragment,
  garbage,
]

/** One of the ClientHellos, in their records, with one to three things wrong about it; at least one byte. */
export function mutatedHello(hellos: readonly Buffer[], random: Random): Buffer {
  let bytes = random.pick(hellos)
  for (let count = 1 + random.below(3); count > 0 && bytes.length > 0; count--)
    bytes = random.pick(mutations)(bytes, random, random.pick(hellos))
  return bytes.length > 0 ? bytes : Buffer.of(0x16)
}
