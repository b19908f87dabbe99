import type { Reporter, TestModule } from 'vitest/node'

/** Names what was skipped, whose title holds the reason, and ends the run with one line of figures. */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 }
    for (const module of modules) {
      if (module.state() === 'failed' && [...module.children.allTests()].length === 0) count.failed++
      for (const fixture of module.children.allTests()) {
        const { state } = fixture.result()
        count[state]++
        if (state === 'skipped') console.log(`skipped: ${fixture.fullName}`)
      }
    }
    console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`)
  }
}
