import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificate } from '../../tools/certificate.ts'
import { exportedValues } from './examples.ts'
import { type GivenByTest, SnippetPlace, snippetOf } from './snippets.ts'

const values = exportedValues()
const names = values.map(({ name }) => name)

describe('the docstring of', () => {
  const snippets = values.flatMap(({ examples }) => examples.map((fence) => snippetOf(fence, names)))
  const servername = 'shop.example'
  let place: SnippetPlace
  let given: GivenByTest

  beforeAll(async () => {
    place = new SnippetPlace(snippets)
    given = { ...(await makeCertificate(servername)), servername, redisUrl: '', memcachedPort: 0 }
  })

  afterAll(() => place.remove())

  test.each(values.map(({ name, examples }) => [name, examples] as const))(
    '%s has an example',
    (_, examples) => {
      expect(examples.map(({ language }) => language)).toContain('ts')
    },
  )

  test('has examples that compile against the types of the package', () => {
    expect(place.compile()).toEqual([])
  })

  test.each(snippets.map((snippet) => [snippet.place, snippet] as const))(
    'has an example that runs: %s',
    async (_, snippet) => {
      expect(await place.run(snippet, given)).toBe('')
    },
  )
})
