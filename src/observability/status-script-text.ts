import { readFileSync } from 'node:fs'

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')

/**
 * The script of the status page. In dist this module holds its text, bundled by the build. From the sources it is the same as long as
 * its files share no name: one after the other, without what they import from and export to each other.
 */
export const STATUS_SCRIPT: string = [
  './status-drawing.js',
  './status-reasons.js',
  './status-stores.js',
  './status-client-views.js',
  './status-script.js',
]
  .map(read)
  .join('\n')
  .replace(/^import \{[^}]*\} from '\.\/.*'$/gm, '')
  .replace(/^export /gm, '')
