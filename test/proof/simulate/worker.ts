import type { Fleet, Setup } from './formula.ts'
import { type Observation, type Span, simulate } from './simulation.ts'

export interface Job {
  readonly fleet: Fleet
  readonly setup: Setup
  readonly span: Span
}

process.on('message', (job: Job) => {
  void simulate(job.fleet, job.setup, job.span).then((observation: Observation) => {
    process.send?.(observation)
    process.disconnect()
  })
})
