// Sixty connections in bursts of six, of every client of Node, with ClientSessions and without; prints how many were resumed.
//
// Its only argument is JSON: port, the authority's file, the server's name, the highest version, whether there is HTTP/2.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import https from 'node:https'
import tls from 'node:tls'
import axios from 'axios'
import got from 'got'
import nodeFetch from 'node-fetch'
import { ClientSessions } from 'sslctx'
import { Agent } from 'undici'

const BURSTS = 10
const AT_ONCE = 6
/** Milliseconds until a connection that is kept alive has idled out. */
const IDLE_MS = 5

const { port, authority, name, version, hasHttp2 } = JSON.parse(process.argv[2])
const url = `https://${name}:${port}/`
const options = {
  ca: readFileSync(authority),
  maxVersion: version,
  lookup: (_name, { all }, callback) =>
    all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4),
}

// What Node says of each connection, whoever makes it: all of them call this function.
let seen = { connections: 0, resumed: 0 }
const { connect } = tls
tls.connect = (...args) => {
  const socket = connect(...args)
  socket.once('secureConnect', () => {
    seen.connections++
    if (socket.isSessionReused()) seen.resumed++
  })
  return socket
}

/** Each makes a request, and ends what is kept alive. `sessions` is undefined where a client is as it comes. */
const CLIENTS = {
  'tls.connect': (sessions) => {
    const all = { ...options, host: name, port, servername: name }
    return { request: () => request(sessions ? sessions.connect(all) : tls.connect(all)) }
  },
  'https.Agent': (sessions) => {
    const agent = agentOf(sessions)
    return { request: () => get(agent) }
  },
  'https.Agent, keepAlive': (sessions) => {
    const agent = agentOf(sessions, { keepAlive: true })
    return { request: () => get(agent), idle: () => idleOut(agent) }
  },
  axios: (sessions) => {
    const httpsAgent = agentOf(sessions)
    return { request: () => axios.get(url, { httpsAgent, proxy: false }) }
  },
  got: (sessions) => {
    const agent = { https: agentOf(sessions) }
    return { request: () => got(url, { agent, retry: { limit: 0 } }).text() }
  },
  'node-fetch': (sessions) => {
    const agent = agentOf(sessions)
    return { request: async () => (await nodeFetch(url, { agent })).text() }
  },
  'undici Agent': (sessions) => byAgent(undiciAgent(sessions, { pipelining: 0 })),
  'undici Agent, keep-alive': (sessions) => byAgent(undiciAgent(sessions, KEPT_ALIVE)),
  fetch: (sessions) => byFetch(fetchAgent(sessions, { pipelining: 0 })),
  'fetch, keep-alive': (sessions) => byFetch(fetchAgent(sessions, KEPT_ALIVE)),
  'http2.connect': (sessions) =>
    hasHttp2 && {
      request: async () => {
        const session = http2.connect(url, sessions ? { createConnection: sessions.http2(options) } : options)
        const stream = session.request({ ':path': '/' })
        stream.resume()
        await once(stream, 'end')
        session.close()
        await once(session, 'close')
      },
    },
}

const KEPT_ALIVE = { keepAliveTimeout: IDLE_MS, keepAliveMaxTimeout: IDLE_MS }

async function request(socket) {
  socket.write(`GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`)
  socket.resume()
  await once(socket, 'close')
}

function agentOf(sessions, more = {}) {
  return sessions ? sessions.agent({ ...options, ...more }) : new https.Agent({ ...options, ...more })
}

async function get(agent) {
  const [response] = await once(https.get(url, { agent }), 'response')
  response.resume()
  await once(response, 'close')
}

async function idleOut(agent) {
  // A socket is free a moment after its response.
  await new Promise((resolve) => setImmediate(resolve))
  const sockets = Object.values(agent.freeSockets).flat()
  await Promise.all(sockets.map((socket) => once(socket.destroy(), 'close')))
}

function undiciAgent(sessions, more) {
  return new Agent({ ...more, connect: sessions ? sessions.undici(options) : options })
}

function fetchAgent(sessions, more) {
  if (sessions) return sessions.dispatcher({ ...more, connect: options })
  void globalThis.Headers
  const symbols = [Symbol.for('undici.globalDispatcher.2'), Symbol.for('undici.globalDispatcher.1')]
  const { constructor: BuiltIn } = symbols.map((symbol) => globalThis[symbol]).find(Boolean)
  // That of Node 26 would put a burst on one connection of HTTP/2.
  return new BuiltIn({ ...more, allowH2: false, connect: options })
}

function byAgent(agent) {
  const origin = url.slice(0, -1)
  return keptBy(agent, async () => (await agent.request({ origin, path: '/', method: 'GET' })).body.dump())
}

function byFetch(agent) {
  return keptBy(agent, async () => (await fetch(url, { dispatcher: agent })).text())
}

/** It tells when its connections are gone. */
function keptBy(agent, request) {
  let open = 0
  let onIdle = () => undefined
  agent.on('connect', () => open++)
  agent.on('disconnect', () => {
    if (--open === 0) onIdle()
  })
  const idle = () =>
    new Promise((resolve) => {
      onIdle = resolve
      if (open === 0) resolve()
    })
  return { request, idle, end: () => agent.destroy() }
}

async function measure(client, sessions) {
  const made = CLIENTS[client](sessions)
  if (!made) return undefined
  seen = { connections: 0, resumed: 0 }
  for (let burst = 0; burst < BURSTS; burst++) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => made.request()))
    await made.idle?.()
  }
  await made.end?.()
  return seen
}

const MANNERS = {
  'as it comes': () => undefined,
  sslctx: () => new ClientSessions(),
  'sslctx, reuse': () => new ClientSessions({ reuse: true }),
}

// A connection that idles lets the process end.
setInterval(() => undefined, 1000)
for (const client of Object.keys(CLIENTS))
  for (const [manner, make] of Object.entries(MANNERS)) {
    const figures = await measure(client, make()).catch((error) => ({
      connections: 0,
      resumed: 0,
      problem: String(error.cause ?? error),
    }))
    if (figures) console.log(JSON.stringify({ client, manner, ...figures }))
  }
process.exit()
