export { ManualClock } from './manual-clock.ts'
export {
  type StoreConformanceCase,
  type StoreConformanceOptions,
  storeConformance,
} from './store-conformance.ts'
