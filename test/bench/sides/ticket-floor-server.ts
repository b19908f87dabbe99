/**
 * The least code that reads ahead, opens a stateless ticket of TLS 1.3 and renews it through libssl's ticket key callback, or refuses
 * it after all: it takes the first bytes for a whole ClientHello, the last extension for a PSK, and looks at nothing in the session
 * but its length. One key for ever, no rule, no binding, no age; never to be used. Speaks as tls-server does.
 */
import { createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import tls from 'node:tls'
import { firstPskIdentityAt, readAhead, type Start, serve } from './side-server.ts'

const REFUSED = 0
const MADE = 1
const RENEWED = 2

interface NativeContext {
  enableTicketKeyCallback(): void
  onticketkeycallback: (name: Buffer, iv: Buffer, isEncrypting: boolean) => readonly (number | Buffer)[]
}

const name = randomBytes(16)
const mac = randomBytes(32)
const cipher = randomBytes(16)

/** @returns whether it is one of ours */
function open(ticket: Buffer): boolean {
  const sealed = ticket.subarray(0, -32)
  if (!timingSafeEqual(createHmac('sha256', mac).update(sealed).digest(), ticket.subarray(-32))) return false
  const decipher = createDecipheriv('aes-128-cbc', cipher, sealed.subarray(16, 32))
  const der = Buffer.concat([decipher.update(sealed.subarray(32)), decipher.final()])
  return der.length > 0
}

function createServer({ kind, key, cert }: Start): tls.Server {
  let isGood = false
  const server = tls.createServer({ key, cert })
  const native = (server as unknown as { _sharedCreds: { context: NativeContext } })._sharedCreds.context
  native.enableTicketKeyCallback()
  native.onticketkeycallback = (_name, _iv, isEncrypting) => {
    if (isEncrypting) return [MADE, mac, cipher, name, randomBytes(16)]
    return [isGood ? RENEWED : REFUSED, mac, cipher]
  }
  readAhead(server, (hello) => {
    const at = firstPskIdentityAt(hello)
    const isOpened = at !== undefined && open(hello.subarray(at, at + hello.readUInt16BE(at - 2)))
    isGood = isOpened && kind !== 'refusing'
  })
  return server
}

serve(createServer)
