import { attachServer, ClientSessions, SslContext, serverOptions } from 'sslctx'
import exercise from '../../exercise.cjs'

export const dynamic = 'force-dynamic'

export async function GET() {
  return new Response(await exercise({ attachServer, ClientSessions, SslContext, serverOptions }))
}
