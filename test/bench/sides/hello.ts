/**
 * Reads a ClientHello of 1.7 kB, with a post-quantum key share and a ticket, as it comes from a client: bytes of records.
 *
 *   node hello.mjs <whose> <rounds> <records in hex>
 */
import { Readable } from 'node:stream'
import { decodeClientHello } from '../../../src/codec/client-hello.ts'
import { ClientHelloCollector } from '../../../src/codec/client-hello-records.ts'
import { cpuUs, report } from './sessions.ts'

const [whose = '', count = '', hex = ''] = process.argv.slice(2)
const records = Buffer.from(hex, 'hex')
const rounds = Number(count)

type Read = () => unknown

function ours(): Read {
  return () => {
    const progress = new ClientHelloCollector().push(records)
    if (progress.state !== 'complete') throw new Error(progress.state)
    return decodeClientHello(progress.message).serverName
  }
}

/** It reads from streams alone; making one is the smaller part. */
async function readTlsClientHello(): Promise<Read> {
  const peer = await import('read-tls-client-hello')
  return async () => {
    const hello = await peer.readTlsClientHello(Readable.from([records], { objectMode: false }))
    return peer.getExtensionData(hello, 0)?.serverName
  }
}

const readers: Record<string, () => Read | Promise<Read>> = {
  ours,
  'read-tls-client-hello': readTlsClientHello,
}
const read = await readers[whose]?.()
if (read === undefined) throw new Error(`no reader ${whose}`)
if ((await read()) !== 'www.eu2.bench.example.net') throw new Error(`${whose} does not find the server name`)
for (let i = 0; i < rounds / 5; i++) await read()
const start = cpuUs()
for (let i = 0; i < rounds; i++) {
  const answer = read()
  if (answer instanceof Promise) await answer
}
report(((cpuUs() - start) * 1000) / rounds)
