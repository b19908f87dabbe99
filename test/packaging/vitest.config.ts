import { defineConfig } from 'vitest/config'
import base from '../vitest.config.ts'

/** What installs packages, or compiles. */
export default defineConfig({
  test: { ...base.test, include: ['test/packaging/*.spec.ts'], testTimeout: 600_000 },
})
