// Asks for each path on a connection of its own, with one https.Agent; prints whether it was resumed.
//
// Arguments: server name, port, files of the authority, the client's certificate and key ("" for none), paths.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import https from 'node:https'

const [servername, port, authority, certificate, key, ...paths] = process.argv.slice(2)
const agent = new https.Agent({
  ca: readFileSync(authority),
  ...(certificate && { cert: readFileSync(certificate), key: readFileSync(key) }),
})

for (const path of paths) {
  const request = https.get({
    agent,
    host: '127.0.0.1',
    servername,
    port,
    path,
    headers: { Host: servername },
  })
  const [response] = await once(request, 'response')
  console.log(response.socket.isSessionReused())
  response.resume()
  await once(response.socket, 'close')
}
