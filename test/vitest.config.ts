import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default', './test/tools/closing-line.ts'],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: [['text', { skipFull: true }]],
      thresholds: {
        'src/{codec,session,context}/**': { lines: 100, branches: 100, functions: 100, statements: 100 },
        'src/{node,observability}/**': { lines: 90, functions: 90, statements: 90, branches: 80 },
      },
    },
  },
})
