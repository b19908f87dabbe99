/** A project that uses the packed library, in its own way. */
export interface Project {
  readonly name: string
  /** Below `projects`. */
  readonly folder: string
  /** Of its package.json. */
  readonly type?: 'module'
  /** Of the registry; none when those of this repository do. */
  readonly packages?: readonly string[]
  /** Run in a copy of the folder, one after the other. `ALONE` is a folder without packages. */
  readonly commands: readonly string[]
  /** What the last one writes. */
  readonly says?: RegExp
}

/** What an exercise says, and what `DEBUG=sslctx:*` must then have said. */
export const RESUMED: RegExp = /^full, resumed\n$/

const ESBUILD = 'esbuild main.js --bundle --platform=node'

/** Those of `npm test`, which need no packages but these of the repository. */
export const PROJECTS: readonly Project[] = [
  { name: 'a CommonJS script', folder: 'commonjs', commands: ['node main.js'], says: RESUMED },
  { name: 'an ES module', folder: 'esm', type: 'module', commands: ['node main.js'], says: RESUMED },
  {
    name: 'one process that requires and imports',
    folder: 'together',
    type: 'module',
    commands: ['node main.js'],
    says: RESUMED,
  },
  {
    name: 'the command',
    folder: 'commonjs',
    commands: ['node ../node_modules/sslctx/dist/cli/main.js --version'],
    says: /^sslctx \d/,
  },
  {
    name: 'esbuild, to CommonJS',
    folder: 'esm',
    type: 'module',
    commands: [`${ESBUILD} --format=cjs --outfile=ALONE/bundle.cjs`, 'node ALONE/bundle.cjs'],
    says: RESUMED,
  },
  {
    name: 'esbuild, to an ES module',
    folder: 'esm',
    type: 'module',
    commands: [`${ESBUILD} --format=esm --outfile=ALONE/bundle.mjs`, 'node ALONE/bundle.mjs'],
    says: RESUMED,
  },
  {
    name: 'esbuild, from CommonJS to an ES module, as small as can be',
    folder: 'commonjs',
    commands: [`${ESBUILD} --minify --format=esm --outfile=ALONE/bundle.mjs`, 'node ALONE/bundle.mjs'],
    says: RESUMED,
  },
]

/** Those that take longer: compilers, and packages of the registry. */
export const LONGER_PROJECTS: readonly Project[] = [
  {
    name: 'TypeScript, node10, no interop',
    folder: 'typescript',
    commands: ['tsc -p tsconfig.node10.json', 'node out/main.js'],
    says: RESUMED,
  },
  {
    name: 'TypeScript, node16, CommonJS',
    folder: 'typescript',
    commands: ['tsc -p tsconfig.node16.json', 'node out/main.js'],
    says: RESUMED,
  },
  {
    name: 'TypeScript, node16, ES module',
    folder: 'typescript',
    type: 'module',
    commands: ['tsc -p tsconfig.node16.json', 'node out/main.js'],
    says: RESUMED,
  },
  {
    name: 'TypeScript, an ES module with what a CommonJS one makes',
    folder: 'typescript',
    commands: ['tsc -p tsconfig.both.json', 'node out/both.mjs'],
    says: /^attached\n$/,
  },
  { name: 'TypeScript, bundler', folder: 'typescript', commands: ['tsc -p tsconfig.bundler.json'] },
  {
    name: 'TypeScript 7, ES module and CommonJS',
    folder: 'typescript',
    type: 'module',
    packages: ['typescript@7.0.2', '@types/node@20.19.0'],
    commands: [
      'tsc -p tsconfig.bundler.json',
      'tsc -p tsconfig.both.json',
      'tsc -p tsconfig.node16.json',
      'node out/main.js',
    ],
    says: RESUMED,
  },
  {
    name: 'a NestJS server, CommonJS as Nest makes it',
    folder: 'nest',
    commands: ['tsc -p .', 'node out/main.js'],
    says: RESUMED,
  },
  { name: 'Jest', folder: 'jest', packages: ['jest@30.5.2'], commands: ['jest'] },
  {
    name: 'ts-node',
    folder: 'typescript',
    packages: ['ts-node@10.9.2', 'typescript@5.5.4', '@types/node@20.19.0'],
    commands: ['tsc -p tsconfig.bundler.json', 'ts-node -P tsconfig.node16.json main.ts'],
    says: RESUMED,
  },
  {
    name: 'webpack',
    folder: 'esm',
    packages: ['webpack@5.113.0', 'webpack-cli@7.3.1'],
    commands: [
      'webpack --mode=production --target=node --entry=./main.js --output-path=ALONE --output-filename=bundle.cjs',
      'node ALONE/bundle.cjs',
    ],
    says: RESUMED,
  },
  {
    name: 'rollup',
    folder: 'esm',
    type: 'module',
    packages: ['rollup@4.68.8', '@rollup/plugin-commonjs@29.0.3', '@rollup/plugin-node-resolve@16.0.3'],
    commands: [
      'rollup main.js --plugin=node-resolve --plugin=commonjs --format=es --file=ALONE/bundle.mjs',
      'node ALONE/bundle.mjs',
    ],
    says: RESUMED,
  },
  {
    name: 'a single executable application',
    folder: 'commonjs',
    packages: ['postject@1.0.0-alpha.6', 'esbuild@0.28.2'],
    commands: [
      `${ESBUILD} --outfile=bundle.cjs`,
      'node --experimental-sea-config sea-config.json',
      `cp ${process.execPath} ALONE/application`,
      'postject ALONE/application NODE_SEA_BLOB bundle.blob --sentinel-fuse NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
      'ALONE/application',
    ],
    says: RESUMED,
  },
  {
    name: 'a Next server',
    folder: 'next',
    packages: ['next@16.4.6', 'react@19.3.1', 'react-dom@19.3.1'],
    commands: ['next build', 'node server.js', 'next build --webpack', 'node server.js'],
    says: /^full; resumed; full, resumed; full, resumed$/m,
  },
]
