/**
 * Decodes and encodes a session.
 *
 *   node der.mjs <whose> <rounds>
 */
import { SslSession } from '../../../src/index.ts'
import { cpuUs, makeTemplate, report } from './sessions.ts'

const [whose = '', count = ''] = process.argv.slice(2)
const { der } = makeTemplate()

type Codec = (der: Uint8Array) => Uint8Array

function ours(): Codec {
  return (bytes) => SslSession.fromDer(bytes).toDer()
}

/** Without a schema, which would come on top. */
async function asn1js(): Promise<Codec> {
  const { fromBER } = await import('asn1js')
  return (bytes) => new Uint8Array(fromBER(bytes).result.toBER())
}

async function asn1Schema(): Promise<Codec> {
  const { AsnConvert, AsnProp, AsnPropTypes, AsnType, AsnTypeTypes, OctetString } = await import(
    '@peculiar/asn1-schema'
  )
  class Session {
    version = 0
    protocolVersion = 0
    cipherSuite = new OctetString()
    sessionId = new OctetString()
    masterKey = new OctetString()
    time = 0
    timeout = 0
    sessionIdContext = new OctetString()
    hostname = new OctetString()
    flags = 0
    kexGroup = 0
  }
  AsnType({ type: AsnTypeTypes.Sequence })(Session)
  const integers = {
    version: undefined,
    protocolVersion: undefined,
    time: 1,
    timeout: 2,
    flags: 13,
    kexGroup: 19,
  }
  const octets = {
    cipherSuite: undefined,
    sessionId: undefined,
    masterKey: undefined,
    sessionIdContext: 4,
    hostname: 6,
  }
  for (const name of Object.keys(new Session())) {
    const isInteger = name in integers
    const context = { ...integers, ...octets }[name as keyof typeof integers | keyof typeof octets]
    AsnProp({
      type: isInteger ? AsnPropTypes.Integer : OctetString,
      ...(context !== undefined && { context, optional: true }),
    })(Session.prototype, name)
  }
  return (bytes) => new Uint8Array(AsnConvert.serialize(AsnConvert.parse(bytes, Session)))
}

const codecs: Record<string, () => Codec | Promise<Codec>> = { ours, asn1js, 'asn1-schema': asn1Schema }
const codec = await codecs[whose]?.()
if (codec === undefined) throw new Error(`no codec ${whose}`)
if (Buffer.compare(codec(der), der) !== 0) throw new Error(`${whose} does not give back what it read`)
const rounds = Number(count)
for (let i = 0; i < rounds / 5; i++) codec(der)
const start = cpuUs()
for (let i = 0; i < rounds; i++) codec(der)
report(((cpuUs() - start) * 1000) / rounds)
