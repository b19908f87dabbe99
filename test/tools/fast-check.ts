/**
 * fast-check with the seed of everybody: who runs `npm test` draws the same values. With SSLCTX_FRESH_SEEDS=1 it draws its own
 * seed for each property, and a failure prints it.
 */
import fc from 'fast-check'

const SEED = 20261129

fc.configureGlobal(process.env['SSLCTX_FRESH_SEEDS'] === '1' ? {} : { seed: SEED })

export default fc
