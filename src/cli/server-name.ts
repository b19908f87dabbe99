import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { quoted, UsageError } from './usage.ts'

const MAX_NAME = 253
const MAX_LABEL = 63

/**
 * A name as it stands in server_name, RFC 6066 §3: A-labels in lower case, without the dot of the root.
 *
 * @param what - for the message, such as `--servername`
 * @throws {@link UsageError} for an address, and for what cannot be a name
 */
export function serverName(text: string, what: string): string {
  const address = text.replace(/^\[(.*)\]$/, '$1')
  if (isIP(address) !== 0) throw new UsageError(`${what} must be a name, got the address ${quoted(text)}`)
  const problem = problemOf(text)
  if (problem !== undefined) throw new UsageError(`${what} must be a host name, ${quoted(text)} ${problem}`)
  return asciiOf(text)
}

/** What a URL would take for something else, such as `%` and `/`, is no part of a name. */
const FOREIGN = /[\s%/\\:?#@[\]<>^|`"'{}*,;]/u

function problemOf(text: string): string | undefined {
  if (text === '' || text === '.') return 'is empty'
  if (FOREIGN.test(text)) return 'has characters that no name has'
  const ascii = asciiOf(text)
  if (ascii === '') return 'is no name that IDNA knows'
  if (isIP(ascii) !== 0) return `is the address ${ascii} in another spelling`
  if (ascii.length > MAX_NAME) return `has ${ascii.length} characters, more than ${MAX_NAME}`
  const labels = ascii.split('.')
  if (labels.includes('')) return 'has an empty label'
  const long = labels.find(({ length }) => length > MAX_LABEL)
  return long === undefined ? undefined : `has a label of ${long.length} characters, more than ${MAX_LABEL}`
}

function asciiOf(text: string): string {
  return domainToASCII(text).replace(/\.$/, '')
}
