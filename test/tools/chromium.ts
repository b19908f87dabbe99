export const chromiumPath = '/usr/bin/chromium'

/** Quiet: it asks for nothing by itself. `name` is this machine. */
export function chromiumArguments(name: string): string[] {
  return [
    ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
    ...['--disable-background-networking', '--disable-component-update'],
    `--host-resolver-rules=MAP ${name} 127.0.0.1`,
  ]
}
