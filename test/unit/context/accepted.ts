import type { SslConnection } from '../../../src/context/ssl-connection.ts'
import type { testContext } from '../../tools/model-fixtures.ts'

export function accepted(fixture: ReturnType<typeof testContext>): SslConnection {
  const connection = fixture.context.newConnection()
  connection.accept()
  return connection
}
