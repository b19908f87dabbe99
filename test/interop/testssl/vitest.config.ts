import { defineConfig } from 'vitest/config'
import base from '../../vitest.config.ts'

/** Suites that take too long for `npm test`. */
export default defineConfig({
  test: { ...base.test, include: ['test/interop/testssl/*.spec.ts'] },
})
