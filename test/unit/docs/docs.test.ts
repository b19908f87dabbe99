import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NOT_KEPT_REASONS } from '../../../src/session/not-kept-reasons.ts'
import { HANDSHAKE_REASONS, type ReasonRow } from '../../../src/session/reasons.ts'
import { makeCertificate } from '../../tools/certificate.ts'
import { doctorInProcess, findingsOf } from '../../tools/doctor.ts'
import { startHaproxy, startNginx } from '../../tools/foreign-servers.ts'
import {
  anchorsOf,
  type Fence,
  fencesOf,
  linksOf,
  readPage,
  readPages,
  readRepositoryPages,
  root,
  sectionsOf,
} from '../../tools/markdown.ts'
import { missingMemcached, startMemcached } from '../../tools/memcached-server.ts'
import { NAME } from '../../tools/node-servers.ts'
import { missingCommand, peerTest } from '../../tools/peers.ts'
import { redisProblem, startRedis } from '../../tools/redis-server.ts'
import { errorCodes, unionIn } from '../../tools/source-unions.ts'
import { commandsOf, problemWith } from './shell.ts'
import { type GivenByTest, isSnippet, packageSources, SnippetPlace, snippetOf } from './snippets.ts'

const pages = readPages()
const repositoryPages = readRepositoryPages()
const fences = pages.flatMap(fencesOf)

describe('a snippet of README.md and docs/', () => {
  const servername = 'shop.example'
  const snippets = fences.filter(isSnippet).map((fence) => snippetOf(fence))
  const problems = { redis: redisProblem, memcached: missingMemcached, none: undefined }
  const cleanUp: (() => Promise<void>)[] = []
  let place: SnippetPlace
  let given: GivenByTest

  beforeAll(async () => {
    place = new SnippetPlace(snippets)
    cleanUp.push(async () => place.remove())
    const redis = redisProblem === undefined ? await startRedis() : undefined
    const memcached = missingMemcached === undefined ? await startMemcached() : undefined
    if (redis) cleanUp.push(() => redis.close())
    if (memcached) cleanUp.push(() => memcached.kill())
    given = {
      ...(await makeCertificate(servername)),
      servername,
      redisUrl: `redis://127.0.0.1:${redis?.port}`,
      memcachedPort: memcached?.port ?? 0,
    }
  })

  afterAll(async () => {
    for (const undo of cleanUp) await undo()
  })

  test('compiles against the types of the package', () => {
    expect(place.compile()).toEqual([])
  })

  for (const snippet of snippets)
    if (snippet.whyNotRun === undefined)
      peerTest(
        `runs, and its server resumes what its page says: ${snippet.place}`,
        problems[snippet.engine ?? 'none'],
        async () => expect(await place.run(snippet, given)).toBe(''),
      )
    else test.skip(`runs: ${snippet.place} (${snippet.whyNotRun})`, () => undefined)
})

describe('README.md, docs/ and .github/', () => {
  const everyPage = [...pages, ...repositoryPages]
  const everyFence = everyPage.flatMap(fencesOf)

  test('have no code in a language that nothing here checks', () => {
    // Commands of a shell come without a language, and what they print as text.
    const known = new Set(['', 'haproxy', 'js', 'nginx', 'text', 'ts', 'yaml'])
    expect(everyFence.map(({ language }) => language).filter((language) => !known.has(language))).toEqual([])
  })

  test('name commands, scripts and options that are there', async () => {
    const inFences = everyFence
      .filter(({ language }) => language === '')
      .flatMap(({ code }) => commandsOf(code))
    const inText = everyPage.flatMap(
      ({ text }) => text.match(/(?<=`)(?:npx sslctx|npm run) [^`]+(?=`)/g) ?? [],
    )
    const problems = await Promise.all([...inFences, ...inText].map(problemWith))
    expect(inText.length).toBeGreaterThan(5)
    expect(problems.filter(Boolean)).toEqual([])
  })

  test('link to files and headings that are there', () => {
    const broken = everyPage.flatMap(({ file, text }) =>
      linksOf(text).filter((link) => {
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? file : join(dirname(file), path)
        if (!existsSync(join(root, target))) return true
        return anchor !== undefined && !anchorsOf(readPage(target).text).has(anchor)
      }),
    )
    expect(broken).toEqual([])
  })
})

describe('the pages of the API', () => {
  test('are made of every entry point of the package', () => {
    const { entryPoints } = JSON.parse(readPage('test/unit/docs/typedoc.json').text) as {
      entryPoints: string[]
    }
    const sources = Object.values(packageSources()).map((file) => `../../../${file}`)
    expect(entryPoints.sort()).toEqual(sources.sort())
  })
})

describe('docs/errors.md', () => {
  const { text } = readPage('docs/errors.md')
  const entries = sectionsOf(text, 3)

  test('has an entry for each code and each problem of a set-up, and no other', () => {
    const known = [...errorCodes(), ...unionIn('errors.ts', 'SetupProblem')]
    expect([...entries.keys()].sort()).toEqual(known.sort())
  })

  test('says of each what to do', () => {
    expect([...entries].filter(([, entry]) => !/^Do: ./m.test(entry)).map(([name]) => name)).toEqual([])
  })

  test('says of each code when it is thrown', () => {
    const codes = [...entries].filter(([name]) => name.startsWith('ERR_'))
    expect(codes.filter(([, entry]) => !/^When: ./m.test(entry)).map(([name]) => name)).toEqual([])
  })
})

describe('docs/reasons.md', () => {
  const { text } = readPage('docs/reasons.md')
  const entries = sectionsOf(text, 3)

  const joined = (text: string): string => text.replace(/\s+/g, ' ').trim()

  test('has an entry for each reason of the table, in its order, and no other', () => {
    expect([...entries.keys()]).toEqual(Object.keys(HANDSHAKE_REASONS))
  })

  test.each<[string, ReasonRow]>(Object.entries(HANDSHAKE_REASONS))(
    'says of %s what the table says',
    (name, { means, todo }) => {
      const entry = joined(entries.get(name) ?? '')
      expect(entry.startsWith(means)).toBe(true)
      expect(entry.endsWith(`Do: ${todo}`)).toBe(true)
    },
  )

  test('says of each what to do', () => {
    expect([...entries].filter(([, entry]) => !/(^|\s)Do:\s./m.test(entry)).map(([name]) => name)).toEqual([])
  })

  test('names findings that the doctor knows', () => {
    const lists = [...text.matchAll(/\*doctor:\*\s(`[^.)]+)/g)].map(([, list = '']) => list)
    const named = lists.flatMap((list) => list.match(/(?<=`)[a-z-]+(?=`)/g) ?? [])
    expect(named.length).toBeGreaterThan(5)
    const known = unionIn('cli/findings.ts', 'FindingId')
    expect(named.filter((name) => !known.includes(name))).toEqual([])
  })

  test('has a line for each reason not to keep a session, and no other', () => {
    const table = sectionsOf(text, 2).get('Sessions that are not kept') ?? ''
    const rows = [...table.matchAll(/^\| `([a-z-]+)` \| (.+) \| (.+) \|$/gm)].map(([, name, means, todo]) => [
      name,
      { means, todo },
    ])
    expect(Object.fromEntries(rows)).toEqual(NOT_KEPT_REASONS)
  })
})

describe('the settings that docs/migrating.md starts from', () => {
  /** Both as the page says: session ids in TLS 1.2, stateful tickets in TLS 1.3, names not checked. */
  const expected = ['note no-tickets tls12-ticket', 'note name-not-checked']
  const only = (language: string): Fence => {
    const [fence, ...others] = fences.filter((one) => one.language === language)
    if (fence === undefined || others.length > 0) throw new Error(`there must be one snippet for ${language}`)
    return fence
  }
  const diagnose = async (port: number): Promise<readonly string[]> =>
    findingsOf(await doctorInProcess(`127.0.0.1:${port}`, '--servername', NAME, '--attempts', '2'))

  peerTest('are those of nginx', missingCommand('nginx', '-v'), async () => {
    expect(await diagnose(await startNginx(`listen $PORT ssl; ${only('nginx').code}`))).toEqual(expected)
  })

  peerTest('are those of HAProxy', missingCommand('haproxy', '-v'), async () => {
    const { code } = only('haproxy')
    const globals = code.match(/tune\..+/g)?.join('\n') ?? ''
    const [, settings = ''] = /bind .+ crt \S+ (.+)/.exec(code) ?? []
    expect(await diagnose(await startHaproxy(settings, globals))).toEqual(expected)
  })
})
