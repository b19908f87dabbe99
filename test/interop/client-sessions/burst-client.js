// Connections of one ClientSessions in bursts of six; with a folder, over LMDB. Its only argument is JSON: port, the authority's file,
// the server's name, how many connections, the folder and the secret in hex.
import { readFileSync } from 'node:fs'
import { open } from 'lmdb'
import { ClientSessions } from 'sslctx'
import { lmdbStore } from 'sslctx/lmdb'

const AT_ONCE = 6
const { port, authority, name, connections, folder, secret } = JSON.parse(process.argv[2])
const root = folder && open({ path: folder, maxDbs: 8 })
const shared = root && {
  store: lmdbStore(root),
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
  let isConnected = false
  socket.once('secureConnect', () => {
    isConnected = true
  })
  // Between two processes a farewell may cross another; a handshake that fails is an error.
  socket.on('error', (error) => {
    if (!isConnected) throw error
  })
  socket.resume()
  await new Promise((resolve) => socket.once('close', resolve))
}

for (let made = 0; made < connections; made += AT_ONCE)
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, connections - made) }, visit))
// lmdb can hang in an exit that finds it at work.
await root?.close()
process.exit()
