import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import { attachServer, SslContext, serverOptions } from '../../../src/index.ts'

// A server of Node for HTTP/1.1 and HTTP/2. Arguments: port, certificate, key, plain or single-use.

const [, , port, cert = '', key = '', manner] = process.argv
const context = new SslContext({ sessionIdContext: 'interop' })
const files = { cert: readFileSync(cert), key: readFileSync(key) }
const server = http2.createSecureServer(
  { ...files, allowHTTP1: true, ...(manner === 'single-use' && serverOptions(context)) },
  (_request, response) => void response.end('hello'),
)
if (manner === 'single-use') attachServer(server, context, { singleUse: true })
server.on('tlsClientError', () => undefined)
server.listen(Number(port), '127.0.0.1')
