import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as imported from 'sslctx'
import { redisStore } from 'sslctx/redis'
import exercise from './exercise.cjs'

const require = createRequire(import.meta.url)
const manifest = JSON.parse(readFileSync(require.resolve('sslctx/package.json'), 'utf8'))

for (const [path, entry] of Object.entries(manifest.exports)) {
  if (typeof entry === 'string') continue
  const name = path.replace('.', 'sslctx')
  const required = require(name)
  const { ...namespace } = await import(name)
  assert.deepEqual(Object.keys(namespace).sort(), Object.keys(required).sort(), name)
  assert.ok(Object.keys(namespace).length > 0, name)
  for (const [exported, value] of Object.entries(required)) {
    assert.equal(namespace[exported], value, `${name} ${exported}`)
    if (typeof value === 'function') assert.equal(value.name, exported, name)
  }
}

const required = require('sslctx')
assert.throws(() => redisStore({}), required.ArgumentError)
assert.throws(() => require('sslctx/redis').redisStore({}), imported.ArgumentError)
assert.throws(() => require('sslctx/lmdb').lmdbStore({}), imported.ArgumentError)

assert.equal(require('sslctx/model').SslContext, imported.SslContext)

const { attachServer, SslContext } = required
const { ClientSessions, serverOptions } = imported
console.log(await exercise({ attachServer, ClientSessions, SslContext, serverOptions }))
