import { execFile } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KeyRing, keyFile } from '../../../src/index.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sslctx-key-file-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const run = promisify(execFile)
const path = () => join(folder, 'state', 'key')
const modeOf = (file: string) => statSync(file).mode & 0o777

describe('keyFile', () => {
  test('makes a secret once, for its owner alone, and leaves nothing else behind', () => {
    const key = keyFile(path())
    expect(key).toHaveLength(32)
    expect([modeOf(path()), modeOf(join(folder, 'state'))]).toEqual([0o600, 0o700])
    expect(keyFile(path())).toEqual(key)
    expect(readdirSync(join(folder, 'state'))).toEqual(['key'])
    expect(new KeyRing([key]).secretIds).toHaveLength(1)
  })

  test('is the same for processes that begin at once', async () => {
    const source = fileURLToPath(new URL('../../../src/store/key-file.ts', import.meta.url))
    const program = `import { keyFile } from ${JSON.stringify(source)}; console.log(Buffer.from(keyFile(${JSON.stringify(path())})).toString('hex'))`
    const one = async () =>
      (await run(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program])).stdout
    const keys = await Promise.all([one(), one(), one(), one()])
    expect(new Set(keys).size).toBe(1)
    expect(keys[0]).toMatch(/^[0-9a-f]{64}\n$/)
  })

  test.each([
    ['that others can read', () => chmodSync(path(), 0o640), /chmod 600/],
    ['that is too short', () => writeFileSync(path(), Buffer.alloc(31)), /31 bytes, not 32/],
    [
      'in a directory into which others can write',
      () => chmodSync(join(folder, 'state'), 0o777),
      /chmod go-w/,
    ],
    [
      'that is a link',
      () => {
        rmSync(path())
        writeFileSync(join(folder, 'other'), Buffer.alloc(32, 1), { mode: 0o600 })
        symlinkSync(join(folder, 'other'), path())
      },
      /symbolic link/,
    ],
    [
      'that is a directory',
      () => {
        rmSync(path())
        mkdirSync(path())
      },
      /no file/,
    ],
  ])('refuses a file %s', (_name, spoil, message) => {
    keyFile(path())
    spoil()
    expect(() => keyFile(path())).toThrow(
      expect.objectContaining({ code: 'ERR_KEY_WEAK', message: expect.stringMatching(message) }),
    )
  })

  test.each([[undefined], [''], [7]])('refuses %j as a path', (given) => {
    expect(() => keyFile(given as never)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT_INVALID' }))
  })

  test('says what Node says where nothing can be made', () => {
    writeFileSync(join(folder, 'state'), '')
    expect(() => keyFile(path())).toThrow(expect.objectContaining({ code: 'EEXIST' }))
  })
})
