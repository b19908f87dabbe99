import * as tls from 'node:tls'
import { attachServer, type SessionStore, serverOptions } from 'sslctx'
import { context, store } from './required.cjs'

// What a CommonJS module makes is of the same class to an ES module.
attachServer(tls.createServer(serverOptions(context)), context)
const same: SessionStore = store
if (same !== store) throw new Error('two stores')
console.log('attached')
