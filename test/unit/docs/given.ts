import { randomBytes, X509Certificate } from 'node:crypto'
import type { RequestListener } from 'node:http'
import https from 'node:https'
import express, { type Express, type RequestHandler } from 'express'
import {
  attachServer,
  type GuardedStore,
  guarded,
  MemoryStore,
  type ServerAttachment,
  type ServerHandshake,
  SslContext,
  serverOptions,
} from '../../../src/index.ts'
import type { GivenByTest } from './snippets.ts'

// What the snippets of the documentation take as given, under the names that they use. A snippet that declares one of these
// names itself gets nothing.

export const { key, cert, servername, redisUrl, memcachedPort }: GivenByTest = JSON.parse(
  process.env['SSLCTX_SNIPPET_GIVEN'] ?? '{}',
)

export const secret: Uint8Array = randomBytes(32)
export const previousSecret: Uint8Array = randomBytes(32)
export const ticketKeys: Buffer = randomBytes(48)
export const fingerprint256: string = new X509Certificate(cert).fingerprint256
export const handler: RequestListener = (_request, response) => void response.end('hello')

export const context: SslContext = new SslContext({ sessionIdContext: 'shop' })
const options = { key, cert, ...serverOptions(context) }
/** Not attached. */
export const server: https.Server = https.createServer(options, handler)
const attachedServer = https.createServer(options, handler)
export const attachment: ServerAttachment = attachServer(attachedServer, context)
/** Behind the attached server. */
export const app: Express = Object.assign(express(), { server: attachedServer })
export const onlyForUs: RequestHandler = (_request, _response, next) => next()
export const guardedStore: GuardedStore = guarded(new MemoryStore())

export function onHandshake(_handshake: ServerHandshake): void {}
export function isRevoked(_certificate: Uint8Array | undefined): boolean {
  return false
}
export function authorityOf(_servername: string | undefined): string {
  return 'customers'
}

const stores = new Map<string, MemoryStore>()
export function openMyStore(name: string): MemoryStore {
  const store = stores.get(name) ?? new MemoryStore()
  stores.set(name, store)
  return store
}

/** Of a test runner's; what it was given is run when the snippet has ended. */
export const tests: { readonly title: string; readonly run: () => Promise<void> }[] = []
export function test(title: string, run: () => Promise<void>): void {
  tests.push({ title, run })
}
