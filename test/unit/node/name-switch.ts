import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Certificate } from '../../tools/certificate.ts'

/** One visit of the client of `server-name-switch.c`. */
export interface NameSwitch {
  readonly port: number
  /** Key exchange groups; the first one goes into the hello. */
  readonly groups: string
  readonly names: readonly [first: string, afterRetry: string]
  readonly certificate?: Certificate
  /** A file that {@link NameSwitcher.sessionFile} has named. */
  readonly sessionIn?: string
  readonly sessionOut?: string
}

/** A client of libssl that names another server after a HelloRetryRequest. */
export class NameSwitcher {
  readonly #folder = mkdtempSync(join(tmpdir(), 'sslctx-switch-'))
  readonly #program = join(this.#folder, 'server-name-switch')

  /** Needs `cc` and the headers of OpenSSL. */
  build(): void {
    const source = fileURLToPath(new URL('./server-name-switch.c', import.meta.url))
    execFileSync('cc', ['-o', this.#program, source, '-lssl', '-lcrypto'])
  }

  sessionFile(name: string): string {
    return join(this.#folder, `${name}.pem`)
  }

  /** @returns what it printed: `full`, `reused` or `failed`, and what the server said */
  async visit({ port, groups, names, certificate, sessionIn, sessionOut }: NameSwitch): Promise<string> {
    const words = [String(port), groups, ...names, sessionIn ?? '-', sessionOut ?? '-']
    const done = await promisify(execFile)(this.#program, words, {
      env: certificate === undefined ? {} : this.#files(certificate),
      timeout: 20_000,
    }).catch((error: { readonly stdout: string }) => error)
    return done.stdout
  }

  #files({ cert, key }: Certificate): NodeJS.ProcessEnv {
    const files = { CERT: join(this.#folder, 'client.crt'), KEY: join(this.#folder, 'client.key') }
    writeFileSync(files.CERT, cert)
    writeFileSync(files.KEY, key)
    return files
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }
}
