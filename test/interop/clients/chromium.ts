import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { chromiumArguments, chromiumPath } from '../../tools/chromium.ts'
import { SERVER_NAME } from '../setups.ts'
import { type Client, run, type Workspace } from './client.ts'

export async function openChromium(workspace: Workspace): Promise<Client> {
  const home = join(workspace.folder, 'chromium')
  const profile = join(home, 'profile')
  await makeKeyDatabase(join(home, '.pki', 'nssdb'), workspace)
  writePreferences(join(profile, 'Default'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath,
    args: chromiumArguments(SERVER_NAME),
    // The runner closes it.
    handleSIGINT: false,
    handleSIGTERM: false,
    env: { ...process.env, HOME: home },
  })
  const page = await context.newPage()
  return {
    version: context.browser()?.version() ?? '',
    manner:
      'one browser, its sessions kept apart by the ports of the servers; it does not tell which were resumed. Asked for ' +
      'a certificate for the first time it leaves, chooses one and comes back',
    async visit({ port, paths }) {
      for (const path of paths) await page.goto(`https://${SERVER_NAME}:${port}${path}`)
      return paths.map(() => undefined)
    },
    close: () => context.close(),
  }
}

/** Where Chromium on Linux looks for authorities and for the certificates of its user. */
async function makeKeyDatabase(folder: string, { authorities, certificates }: Workspace): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const database = `sql:${folder}`
  await run('certutil', ['-N', '-d', database, '--empty-password'])
  for (const file of authorities)
    await run('certutil', ['-A', '-d', database, '-n', file, '-t', 'C,,', '-i', file])
  for (const { certificate, key } of certificates) {
    const file = join(folder, 'client.p12')
    await run('openssl', [
      ...['pkcs12', '-export', '-in', certificate, '-inkey', key, '-name', certificate],
      ...['-out', file, '-passout', 'pass:'],
    ])
    await run('pk12util', ['-d', database, '-i', file, '-W', ''])
  }
}

/** For want of a person: takes whatever certificate the server would take, and connects only when it is told to. */
function writePreferences(folder: string): void {
  const everyServer = { [`https://${SERVER_NAME}:*,*`]: { setting: { filters: [{}] } } }
  const preferences = {
    net: { network_prediction_options: 2 },
    profile: { content_settings: { exceptions: { auto_select_certificate: everyServer } } },
  }
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'Preferences'), JSON.stringify(preferences))
}
