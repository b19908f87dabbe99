import { attachServer, ClientSessions, SslContext, serverOptions } from 'sslctx'
import exercise from './exercise.cjs'

exercise({ attachServer, ClientSessions, SslContext, serverOptions }).then(console.log)
