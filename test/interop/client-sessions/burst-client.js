// Connections of one ClientSessions in bursts of six; with a folder, over LMDB. Its only argument is JSON: port, the authority's file,
// the server's name, how many connections, the folder and the secret in hex.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { open } from 'lmdb'
import { ClientSessions } from 'sslctx'
import { lmdbStore } from 'sslctx/lmdb'

const AT_ONCE = 6
const { port, authority, name, connections, folder, secret } = JSON.parse(process.argv[2])
const shared = folder && {
  store: lmdbStore(open({ path: folder, maxDbs: 8 })),
  secrets: [Buffer.from(secret, 'hex')],
}
const sessions = new ClientSessions({ ...shared })
const options = {
  host: name,
  port,
  ca: readFileSync(authority),
  lookup: (_name, { all }, callback) =>
    all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4),
}

async function visit() {
  const socket = sessions.connect(options)
  socket.resume()
  await once(socket, 'close')
}

for (let made = 0; made < connections; made += AT_ONCE)
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, connections - made) }, visit))
process.exit()
