import { Controller, Get, Module } from '@nestjs/common'

class Greeter {
  greet(): string {
    return 'hello'
  }
}

/** Decorators as the functions that they are: no compiler option is needed. */
export class AppModule {}
Get()(Greeter.prototype, 'greet', Object.getOwnPropertyDescriptor(Greeter.prototype, 'greet') ?? {})
Controller()(Greeter)
Module({ controllers: [Greeter] })(AppModule)
