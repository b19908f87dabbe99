import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { nodeCrypto } from '../crypto.ts'
import { ArgumentError, WeakKeyError } from '../errors.ts'
import { kindOf } from '../session/arguments.ts'

const KEY_LENGTH = 32
/** What group and others may do. */
const OF_OTHERS = 0o077
const WRITE_OF_OTHERS = 0o022

/**
 * A secret in a file, for commands whose next run is to have the same one. It is made when it is not there: 32 random bytes that
 * their owner alone can read (0600), in a directory of mode 0700 if that is made, too. Processes that begin at once get the same.
 *
 * It protects from other users of the machine. Whoever can read the files of this user, a backup of them included, has it.
 *
 * @returns a copy of the secret, for `secrets` of `ClientSessions` or a `KeyRing`
 * @throws {@link ArgumentError} for what is no path
 * @throws {@link WeakKeyError} for a file that others can read or replace, that is another user's, or no file of 32 bytes, and for a
 *   directory of another user who is not root
 * @throws Node's own error where it can be neither read nor made
 *
 * @example
 * ```ts
 * const keyRing = new KeyRing([keyFile('./.my-command/key')])
 * ```
 */
export function keyFile(path: string): Uint8Array {
  if (typeof path !== 'string' || path === '')
    throw new ArgumentError(
      `the path of keyFile must be a path, got ${path === '' ? 'an empty string' : kindOf(path)}`,
    )
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  checkDirectory(dirname(path))
  return read(path) ?? make(path)
}

function read(path: string): Uint8Array | undefined {
  let file: number
  try {
    // Somebody else's link could lead to a file whose content he knows; and opening a pipe would wait.
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw code === 'ELOOP' ? new WeakKeyError('the key file is a symbolic link') : error
  }
  try {
    checkFile(fstatSync(file))
    const key = readFileSync(file)
    if (key.length !== KEY_LENGTH) throw new WeakKeyError(`the key file has ${key.length} bytes, not 32`)
    return new Uint8Array(key)
  } finally {
    closeSync(file)
  }
}

/** Whole, or not at all: a link is made in one step, and never in the place of what is there. */
function make(path: string): Uint8Array {
  const draft = `${path}.${process.pid}.${nodeCrypto().randomBytes(6).toString('hex')}`
  try {
    writeFileSync(draft, nodeCrypto().randomBytes(KEY_LENGTH), { mode: 0o600, flag: 'wx', flush: true })
    linkSync(draft, path)
  } catch (error) {
    // Another process was first.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  const key = read(path)
  if (key === undefined) throw new WeakKeyError('the key file was removed while it was made')
  return key
}

/** It may be a link. Whoever owns that, or the directory, can put another file there; root can do so anywhere. */
function checkDirectory(path: string): void {
  if (!hasOwners()) return
  const directory = statSync(path)
  const trusted = [process.getuid?.(), 0]
  if (![lstatSync(path), directory].every(({ uid }) => trusted.includes(uid)))
    throw new WeakKeyError('the directory of the key file is that of another user')
  if ((directory.mode & WRITE_OF_OTHERS) !== 0)
    throw new WeakKeyError('others can write into the directory of the key file: chmod go-w')
}

function checkFile(stats: Stats): void {
  if (!stats.isFile()) throw new WeakKeyError('the key file is no file')
  if (!hasOwners()) return
  if (stats.uid !== process.getuid?.()) throw new WeakKeyError('the key file is that of another user')
  if ((stats.mode & OF_OTHERS) !== 0) throw new WeakKeyError('others can read the key file: chmod 600')
}

/** Windows has no modes. */
function hasOwners(): boolean {
  return process.getuid !== undefined
}
