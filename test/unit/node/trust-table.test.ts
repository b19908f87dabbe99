import tls from 'node:tls'
import { expect, test } from 'vitest'
import { TRUST_OPTIONS } from '../../../src/node/trust-profile.ts'
import { certificate } from '../../tools/node-servers.ts'

/** The options that this line of Node looks for, whatever its documentation says. */
function optionsAskedFor(make: (options: object) => void): ReadonlySet<string> {
  const asked = new Set<string>()
  make(
    new Proxy<Record<string, unknown>>(
      { ...certificate },
      {
        get(target, name) {
          if (typeof name === 'string') asked.add(name)
          return target[String(name)]
        },
      },
    ),
  )
  return asked
}

/** Options of net.Server, of AbortSignal and of EventEmitter; what they decide is no matter of trust. */
const NOT_OF_TLS = new Set(['blockList', 'captureRejections', 'signal', 'toString', 'hasOwnProperty'])

test.each([
  ['createServer', (options: object) => void tls.createServer(options)],
  ['createSecureContext', (options: object) => void tls.createSecureContext(options)],
])(
  'the table says of each option that %s of this Node takes whether a session is bound to it',
  (_name, make) => {
    const asked = [...optionsAskedFor(make)].filter((name) => !NOT_OF_TLS.has(name))
    expect(asked.length).toBeGreaterThan(10)
    expect(asked.filter((name) => !Object.hasOwn(TRUST_OPTIONS, name))).toEqual([])
  },
)

test('what is in no digest says why', () => {
  for (const [name, part] of Object.entries(TRUST_OPTIONS))
    expect([name, typeof part === 'string' || part.notInDigest.length > 10]).toEqual([name, true])
})
