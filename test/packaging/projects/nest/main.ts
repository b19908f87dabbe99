import 'reflect-metadata'
import { once } from 'node:events'
import * as https from 'node:https'
import { Controller, Get, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { attachServer, ClientSessions, SslContext, serverOptions } from 'sslctx'

@Controller()
class Greeter {
  @Get()
  greet(): string {
    return 'hello'
  }
}

@Module({ controllers: [Greeter] })
class AppModule {}

async function main(): Promise<void> {
  const { EXERCISE_KEY: key = '', EXERCISE_CERT: cert = '' } = process.env
  const outcomes: string[] = []
  const context = new SslContext({ sessionIdContext: 'exercise' })
  const httpsOptions = { key, cert, ...serverOptions(context) }
  const app = await NestFactory.create(AppModule, { httpsOptions, logger: false })
  attachServer(app.getHttpServer() as https.Server, context, {
    onHandshake: ({ outcome }) => void outcomes.push(outcome),
  })
  await app.listen(0, '127.0.0.1')
  const { port } = (app.getHttpServer() as https.Server).address() as { port: number }
  const agent = new ClientSessions().agent({ ca: cert, servername: 'exercise.example' })
  for (let round = 0; round < 2; round++) {
    const request = https.get({ host: '127.0.0.1', port, agent, headers: { connection: 'close' } })
    const [response] = await once(request, 'response')
    response.resume()
    await once(response, 'close')
  }
  await app.close()
  console.log(outcomes.join(', '))
}

void main()
