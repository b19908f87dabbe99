import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root: string = join(dirname(fileURLToPath(import.meta.url)), '../..')

export interface Page {
  /** Below the root of the project. */
  readonly file: string
  readonly text: string
}

export function readPage(file: string): Page {
  return { file, text: readFileSync(join(root, file), 'utf8') }
}

/** README.md and docs/*.md. */
export function readPages(): readonly Page[] {
  const guides = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...guides.sort().map((name) => `docs/${name}`)].map(readPage)
}

/** Those for people who work on the project: they are in no package. */
export function readRepositoryPages(): readonly Page[] {
  const names = readdirSync(join(root, '.github')).filter((name) => name.endsWith('.md'))
  return names.sort().map((name) => readPage(`.github/${name}`))
}

/** A fenced code block. */
export interface Fence {
  /** As `docs/stores.md:12`, its first line of code. */
  readonly place: string
  /** Empty for what is no language: commands of a shell, formulas, output. */
  readonly language: string
  readonly code: string
  /** The HTML comment on the line before it. */
  readonly remark: string | undefined
}

export function fencesOf({ file, text }: Page): readonly Fence[] {
  return [...text.matchAll(/(?:^<!-- (.*) -->\n)?^```(.*)\n([\s\S]*?)^```$/gm)].map((match) => {
    const [whole, remark, language = '', code = ''] = match
    const linesBefore = text.slice(0, match.index + whole.indexOf('```')).split('\n').length
    return { place: `${file}:${linesBefore + 1}`, language, code, remark }
  })
}

/** The text below each heading of a level, up to the next heading of that level or above, by what the heading says. */
export function sectionsOf(text: string, level: number): ReadonlyMap<string, string> {
  const parts = text.split(new RegExp(`^(?=#{1,${level}} )`, 'm'))
  const marker = `${'#'.repeat(level)} `
  return new Map(
    parts
      .filter((part) => part.startsWith(marker))
      .map((part) => {
        const [heading = '', ...body] = part.split('\n')
        return [heading.slice(marker.length).replaceAll('`', ''), body.join('\n').trim()]
      }),
  )
}

/** Where the links of a page lead within the project. */
export function linksOf(text: string): readonly string[] {
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link)
  return links.filter((link) => !/^[a-z]+:/.test(link))
}

/** What GitHub makes of the headings; the second of a name would get a number. */
export function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading)
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  )
}
