import { execFile } from 'node:child_process'
import {
  chmodSync,
  chownSync,
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
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { KeyRing, keyFile } from '../../../src/index.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sslctx-key-file-'))
})
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true, force: true })
})

const run = promisify(execFile)
const path = () => join(folder, 'state', 'key')
const source = fileURLToPath(new URL('../../../src/store/key-file.ts', import.meta.url))
const program = () =>
  `import { keyFile } from ${JSON.stringify(source)}; console.log(Buffer.from(keyFile(${JSON.stringify(path())})).toString('hex'))`
const tsx = ['--import', 'tsx', '--input-type=module', '-e']

/** From then on it is another user's: root can give it away, who is not root becomes somebody else. */
function giveAway(file: string): void {
  const user = process.getuid?.() ?? 0
  if (user === 0) chownSync(file, 12_345, 12_345)
  else vi.spyOn(process, 'getuid').mockReturnValue(user + 1)
}
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
    const one = async () => (await run(process.execPath, [...tsx, program()])).stdout
    const keys = await Promise.all([one(), one(), one(), one()])
    expect(new Set(keys).size).toBe(1)
    expect(keys[0]).toMatch(/^[0-9a-f]{64}\n$/)
  })

  test('leaves nothing behind where nothing can be written', async () => {
    // A file may have no bytes, as on a disk that is full.
    const limited = ['-c', 'ulimit -f 0; exec "$@"', 'sh', process.execPath, ...tsx, program()]
    const env = { ...process.env, TSX_DISABLE_CACHE: '1' }
    await expect(run('/bin/sh', limited, { env })).rejects.toThrow('EFBIG')
    expect(readdirSync(join(folder, 'state'))).toEqual([])
  })

  test('takes a link to a private directory as that directory', () => {
    mkdirSync(join(folder, 'private'), { mode: 0o700 })
    symlinkSync(join(folder, 'private'), join(folder, 'state'))
    const key = keyFile(path())
    expect(keyFile(join(folder, 'private', 'key'))).toEqual(key)
  })

  test('refuses a link to a directory into which others can write', () => {
    mkdirSync(join(folder, 'shared'))
    chmodSync(join(folder, 'shared'), 0o777)
    symlinkSync(join(folder, 'shared'), join(folder, 'state'))
    expect(() => keyFile(path())).toThrow(/chmod go-w/)
    expect(readdirSync(join(folder, 'shared'))).toEqual([])
  })

  test.each([
    ['the file', () => path(), /is that of another user/],
    ['its directory', () => join(folder, 'state'), /directory of the key file is that of another user/],
  ])("refuses what is another user's: %s", (_, given, message) => {
    keyFile(path())
    giveAway(given())
    const refused = expect.objectContaining({ code: 'ERR_KEY_WEAK', message: expect.stringMatching(message) })
    expect(() => keyFile(path())).toThrow(refused)
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
