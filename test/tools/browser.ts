import { type Browser, chromium, type Page } from 'playwright-core'
import { chromiumArguments, chromiumPath } from './chromium.ts'
import { missingCommand } from './peers.ts'

export const missingChromium: string | undefined = missingCommand(chromiumPath, '--version')

/** `name` is this machine, with whatever certificate. */
export function launchChromium(name: string): Promise<Browser> {
  const args = [...chromiumArguments(name), '--disable-lcd-text']
  return chromium.launch({ executablePath: chromiumPath, args })
}

export interface WatchedPage {
  readonly page: Page
  /** Errors on the console, exceptions, and violations of a Content-Security-Policy. */
  readonly complaints: string[]
  /** All that was asked for. */
  readonly requests: string[]
}

export async function openPage(browser: Browser, url: string): Promise<WatchedPage> {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1000, height: 800 },
  })
  const page = await context.newPage()
  const complaints: string[] = []
  const requests: string[] = []
  page.on('console', (message) => void complaints.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', (error) => void complaints.push(String(error)))
  page.on('request', (request) => void requests.push(request.url()))
  await page.goto(url)
  return { page, complaints, requests }
}
