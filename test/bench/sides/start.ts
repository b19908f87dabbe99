/** Milliseconds of `import 'sslctx'`, or of its two dependencies, in a fresh process: `node start.mjs <whose>`. */
import { createRequire } from 'node:module'
import { performance } from 'node:perf_hooks'
import { report } from './sessions.ts'

const start = performance.now()
if (process.argv[2] === 'ours') await import('../../../src/index.ts')
else await Promise.all([import('debug'), import('lru-cache')])
const spent = performance.now() - start
const clients = ['ioredis', 'iovalkey', 'redis', '@redis/client', 'lmdb', 'node-gyp-build-optional-packages']
const loaded = Object.keys(createRequire(import.meta.url).cache).filter((file) =>
  clients.some((client) => file.includes(`/node_modules/${client}/`)),
)
if (loaded.length > 0) throw new Error(`a store client is loaded: ${loaded.join(', ')}`)
report(spent)
