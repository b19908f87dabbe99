import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildJavaScript, buildTypes } from '../../build.ts'
import { makeCertificate } from '../tools/certificate.ts'
import { type Project, RESUMED } from './projects.ts'

const exec = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const projects = join(import.meta.dirname, 'projects')

/** What a command has written. */
interface Said {
  readonly stdout: string
  readonly stderr: string
}

/** The library as npm packs it, in a folder with room for the projects that use it. */
class PackedLibrary {
  readonly #folder: string
  readonly #tarball: string
  readonly #env: NodeJS.ProcessEnv
  #projectCount = 0

  private constructor(folder: string, tarball: string, env: NodeJS.ProcessEnv) {
    this.#folder = folder
    this.#tarball = tarball
    this.#env = env
  }

  /** Built anew, so that nothing depends on what `dist` happens to hold. */
  static async pack(): Promise<PackedLibrary> {
    const folder = mkdtempSync(join(tmpdir(), 'sslctx-packaging-'))
    const library = join(folder, 'library')
    for (const name of ['package.json', 'README.md', 'LICENSE', 'docs', 'src'])
      cpSync(join(root, name), join(library, name), { recursive: true })
    await buildJavaScript(join(library, 'dist'))
    buildTypes(join(library, 'dist'))
    const { stdout } = await exec(
      'npm',
      ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
      {
        cwd: library,
      },
    )
    const [packed] = JSON.parse(stdout) as readonly { readonly filename: string }[]
    const { key, cert } = await makeCertificate('exercise.example')
    const env = {
      ...process.env,
      EXERCISE_KEY: key,
      EXERCISE_CERT: cert,
      DEBUG: 'sslctx:handshake',
      NEXT_TELEMETRY_DISABLED: '1',
    }
    return new PackedLibrary(folder, join(folder, packed?.filename ?? ''), env)
  }

  /** Puts the library among the packages of this repository, where every project finds them. */
  async unpack(): Promise<void> {
    const packages = join(this.#folder, 'node_modules')
    mkdirSync(join(packages, 'sslctx'), { recursive: true })
    for (const name of readdirSync(join(root, 'node_modules')))
      if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(packages, name))
    await exec('tar', ['-xzf', this.#tarball, '-C', join(packages, 'sslctx'), '--strip-components=1'])
  }

  async run({ folder, type, packages, commands }: Project): Promise<Said> {
    const name = `project-${this.#projectCount++}`
    const cwd = join(this.#folder, name)
    const alone = mkdtempSync(join(tmpdir(), 'sslctx-alone-'))
    cpSync(join(projects, folder), cwd, { recursive: true })
    cpSync(join(projects, 'exercise.cjs'), join(cwd, 'exercise.cjs'))
    writeFileSync(join(cwd, 'package.json'), JSON.stringify({ private: true, type }))
    try {
      if (packages !== undefined)
        await this.#execute(
          ['npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', this.#tarball, ...packages],
          cwd,
        )
      let said: Said = { stdout: '', stderr: '' }
      for (const command of commands)
        said = await this.#execute(
          command.split(' ').map((word) => word.replace('ALONE', alone)),
          cwd,
        )
      return said
    } finally {
      rmSync(alone, { recursive: true })
      rmSync(cwd, { recursive: true })
    }
  }

  async #execute([program = '', ...args]: readonly string[], cwd: string): Promise<Said> {
    const bins = [join(cwd, 'node_modules/.bin'), join(root, 'node_modules/.bin'), process.env['PATH']]
    try {
      return await exec(program, args, { cwd, env: { ...this.#env, PATH: bins.join(delimiter) } })
    } catch (error) {
      const { stdout, stderr } = error as Said
      throw new Error(`${program} ${args.join(' ')} fails:\n${stdout}${stderr}`, { cause: error })
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }
}

export function testProjects(tested: readonly Project[]): void {
  describe('the packed library serves', () => {
    let library: PackedLibrary

    beforeAll(async () => {
      library = await PackedLibrary.pack()
      await library.unpack()
    })
    afterAll(() => library.remove())

    for (const project of tested)
      test(project.name, async () => {
        const { stdout, stderr } = await library.run(project)
        if (project.says !== undefined) expect(stdout, stderr).toMatch(project.says)
        if (project.says === RESUMED) expect(stderr).toMatch(/sslctx:handshake .*: resumed \(internal\)/)
      })
  })
}
