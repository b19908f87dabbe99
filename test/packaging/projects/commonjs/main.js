const { attachServer, ClientSessions, SslContext, serverOptions } = require('sslctx')
const exercise = require('./exercise.cjs')

exercise({ attachServer, ClientSessions, SslContext, serverOptions }).then(console.log)
