import { compare } from './conformance.ts'
import { Moment } from './moment.ts'
import type { Observation } from './observations.ts'
import { type SwitchName, switchesOf, switchNames } from './switches.ts'
import { unseenSwitches, witnesses } from './witnesses.ts'

/** A row of the table: how often, or why never. */
export interface CoverageRow {
  readonly name: string
  readonly count: number
  /** Why nothing can be seen. */
  readonly reason: string | undefined
}

/** Of each switch, so many traces are run on its other side. */
const TRACES_PER_SWITCH = 400

/** What random traces have exercised. */
export class Coverage {
  readonly #rules: Map<string, number> = new Map()
  readonly #switches: Map<SwitchName, number> = new Map()
  #traces = 0

  add(version: string, trace: readonly string[], observed: readonly Observation[]): void {
    const moment = new Moment()
    for (const [at, operation] of trace.entries()) {
      moment.advance(operation, observed[at] ?? [])
      for (const [rule, witness] of Object.entries(witnesses))
        if (typeof witness === 'function' && witness(moment))
          this.#rules.set(rule, (this.#rules.get(rule) ?? 0) + 1)
    }
    if (this.#traces++ < TRACES_PER_SWITCH) this.#countSwitches(version, trace, observed)
  }

  /** A trace exercises a switch if the model says something else with the switch thrown. */
  #countSwitches(version: string, trace: readonly string[], observed: readonly Observation[]): void {
    const switches = switchesOf(version)
    for (const name of switchNames) {
      if (unseenSwitches[name] !== undefined) continue
      const thrown = { ...switches, [name]: !switches[name] }
      if (compare(version, trace, observed, thrown) !== undefined)
        this.#switches.set(name, (this.#switches.get(name) ?? 0) + 1)
    }
  }

  rules(): CoverageRow[] {
    return Object.entries(witnesses).map(([name, witness]) => ({
      name,
      count: this.#rules.get(name) ?? 0,
      reason: typeof witness === 'string' ? witness : undefined,
    }))
  }

  switches(): CoverageRow[] {
    return switchNames.map((name) => ({
      name,
      count: this.#switches.get(name) ?? 0,
      reason: unseenSwitches[name],
    }))
  }
}
