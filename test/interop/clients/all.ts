import { engineMajors } from '../../tools/engine-binary.ts'
import { openChromium } from './chromium.ts'
import type { Client, Workspace } from './client.ts'
import { openCurl, openGnutls, openOpenssl } from './commands.ts'
import { openGo, openJava, openNode, openPython } from './programs.ts'

/** By the client's name; fails with the reason when it cannot be had. */
export const clientOpeners: Readonly<Record<string, (workspace: Workspace) => Promise<Client>>> = {
  'openssl s_client': openOpenssl,
  'gnutls-cli': openGnutls,
  curl: openCurl,
  ...Object.fromEntries(engineMajors.map((major) => [`Node ${major}`, () => openNode(major)])),
  'Python ssl': openPython,
  'Java JSSE': openJava,
  'Go crypto/tls': openGo,
  Chromium: openChromium,
}
