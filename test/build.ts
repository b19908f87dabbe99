/**
 * Makes the JavaScript of dist; `npm run build` makes the types before it.
 *
 * `sslctx` is one file, since each takes a millisecond to load. The other entries take from it what has to be the same object
 * for all, the classes of errors, and the command is a program of its own.
 */
import { type BuildOptions, build, type Plugin } from 'esbuild'

const OPTIONS: BuildOptions = {
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  outbase: 'src',
  // Names stay, for stack traces and profiles.
  minifyWhitespace: true,
  lineLimit: 120,
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
}

const OTHER_ENTRIES = [
  'src/store/redis-store.ts',
  'src/store/memcached-store.ts',
  'src/store/lmdb-store.ts',
  'src/testing/index.ts',
  'src/observability/prometheus.ts',
  'src/observability/opentelemetry.ts',
  'src/observability/status-handler.ts',
]

const errorsOfIndex: Plugin = {
  name: 'errors of index',
  setup({ onResolve }) {
    // The entries that have it, and their chunks, are one folder deep.
    onResolve({ filter: /\/errors\.ts$/ }, () => ({ path: '../index.js', external: true }))
  },
}

export async function buildJavaScript(outdir: string): Promise<void> {
  await build({ ...OPTIONS, outdir, entryPoints: ['src/index.ts'] })
  await build({ ...OPTIONS, outdir, entryPoints: ['src/cli/main.ts'] })
  await build({
    ...OPTIONS,
    outdir,
    entryPoints: OTHER_ENTRIES,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    plugins: [errorsOfIndex],
  })
}

if (process.argv[1] === import.meta.filename) await buildJavaScript('dist')
