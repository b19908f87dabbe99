import { createHook } from 'node:async_hooks'
import { afterTest } from '../../tools/node-servers.ts'

/** Once Node has the connection: the next TLSSocket is that of the server. */
export async function handedOver(): Promise<void> {
  await new Promise<void>((resolve) => {
    const hook = createHook({
      init(_id, type) {
        if (type !== 'TLSWRAP') return
        hook.disable()
        resolve()
      },
    }).enable()
    afterTest(() => hook.disable())
  })
}
