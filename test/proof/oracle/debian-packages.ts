import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** Where a libssl is packaged: the suites to be asked, and the package's name there. */
export interface DebianSuite {
  readonly suites: readonly string[]
  readonly library: string
}

/** Packages unpacked into a folder of their own; nothing of the machine's changes. */
export interface UnpackedSuite {
  readonly includes: readonly string[]
  readonly libraries: readonly string[]
  /** A folder with nothing but libssl and libcrypto, to be used with the C library of the machine. */
  readonly alone: string
  /** The dynamic linker of the suite, for what needs its C library. */
  readonly linker: string
}

/**
 * Fetches a libssl with its headers and the libraries below it, unless that has been done. apt-get reads a sources list,
 * and keeps lists and packages, in the folder alone.
 *
 * @throws Error when apt-get or dpkg is missing, or the packages are not to be had
 */
export async function unpackSuite(
  { suites, library }: DebianSuite,
  folder: string,
  architecture: string,
): Promise<UnpackedSuite> {
  const root = join(folder, 'root')
  if (!existsSync(join(folder, 'complete'))) {
    for (const name of ['lists/partial', 'cache/archives/partial', 'packages', 'root'])
      mkdirSync(join(folder, name), { recursive: true })
    const sources = join(folder, 'sources.list')
    writeFileSync(
      sources,
      suites.map((suite) => `deb [signed-by=${KEYRING}] ${archiveOf(suite)} ${suite} main\n`).join(''),
    )
    const options = [
      `-oDir::Etc::SourceList=${sources}`,
      '-oDir::Etc::SourceParts=/dev/null',
      `-oDir::State::Lists=${join(folder, 'lists')}`,
      `-oDir::Cache=${join(folder, 'cache')}`,
      // What is installed on this machine is no version to choose.
      '-oDir::State::Status=/dev/null',
      `-oAPT::Default-Release=${suites[0]}`,
      '-oAPT::Sandbox::User=root',
    ]
    await exec('apt-get', [...options, 'update'])
    const wanted = [library, 'libssl-dev', 'libc6', 'zlib1g', 'libzstd1']
    await exec('apt-get', [...options, 'download', ...wanted], { cwd: join(folder, 'packages') })
    for (const file of readdirSync(join(folder, 'packages')))
      if (file.endsWith('.deb')) await exec('dpkg', ['-x', join(folder, 'packages', file), root])
    mkdirSync(join(folder, 'alone'), { recursive: true })
    for (const directory of libraryFolders(root, architecture))
      for (const file of readdirSync(directory))
        if (/^lib(ssl|crypto)\.so\.\d/.test(file))
          symlinkSync(join(directory, file), join(folder, 'alone', file))
    writeFileSync(join(folder, 'complete'), '')
  }
  const linker = ['lib64', 'usr/lib64', `lib/${architecture}`, `usr/lib/${architecture}`]
    .map((name) => join(root, name, 'ld-linux-x86-64.so.2'))
    .find((file) => existsSync(file))
  return {
    includes: [join(root, 'usr/include'), join(root, 'usr/include', architecture)],
    libraries: libraryFolders(root, architecture),
    alone: join(folder, 'alone'),
    linker: linker ?? '',
  }
}

function libraryFolders(root: string, architecture: string): string[] {
  return ['usr/lib', 'lib']
    .map((name) => join(root, name, architecture))
    .filter((folder) => existsSync(folder))
}

function archiveOf(suite: string): string {
  return `http://deb.debian.org/${suite.endsWith('-security') ? 'debian-security' : 'debian'}`
}
