import cluster from 'node:cluster'
import { createHash } from 'node:crypto'
import { type Awaitable, andThen } from '../session/awaitable.ts'
import { ClusterStatus } from './status-cluster.ts'
import { STATUS_PAGE, STATUS_STYLE } from './status-page.ts'
import { Figures, type StatusReport } from './status-report.ts'
import { STATUS_SCRIPT } from './status-script-text.ts'
import { partsOf, type Subject } from './subject.ts'

export type { HandshakeCounts, OutcomeCounts } from '../session/handshakes.ts'
export type { ClientsSpan, ClientsStatus, ClientsVerdict } from './status-clients.ts'
export { relayStatus } from './status-cluster.ts'
export type { Minute, ServerStatus, Span, StatusReport, StatusVerdict, StoreStatus } from './status-report.ts'
export type {
  MeasuredAttachment,
  MeasuredClients,
  MeasuredContext,
  MeasuredParts,
  MeasuredSessions,
  MeasuredStore,
  MeasuredTickets,
  Subject,
} from './subject.ts'

/** What is used of `http.IncomingMessage`. */
export interface StatusRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: { readonly accept?: string | undefined }
}

/** What is used of `http.ServerResponse`. */
export interface StatusResponse {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(body: string): unknown
}

/** A request handler, and its end. */
export interface StatusHandler {
  /** Answers one request: at once, or in a worker of a cluster when the others have told theirs. */
  (request: StatusRequest, response: StatusResponse): void
  /** Ends the sampling. The handler should not be asked any more then. */
  close(): void
  [Symbol.dispose](): void
}

/**
 * A status page, as a request handler of any Node HTTP server: JSON for `Accept: application/json` or `?format=json`, else an
 * HTML page that needs nothing else and updates itself. It shows no session, id or server name; who may see it is for the
 * server to decide. Its Content-Security-Policy takes the place of one that was set before.
 *
 * @param subject - a `ServerSessions`, what `attachServer` returned, or parts by name. An attachment tells what Node did, also
 *   before the handler was made; a context without one what the model decided since
 * @returns counts and samples until it is closed, and does not keep the process alive
 * @throws `ArgumentError` for another subject
 */
export function statusHandler(subject: Subject): StatusHandler {
  const parts = partsOf('statusHandler', subject)
  const figures = new Figures(parts)
  const { contexts, stores, clients } = parts()
  const names = JSON.stringify([contexts, stores, clients].map((part) => Object.keys(part)))
  const workers = cluster.isWorker ? new ClusterStatus(names, () => figures.report()) : undefined
  const close = (): void => {
    figures.close()
    workers?.close()
  }
  return Object.assign(
    makeHandler(() => workers?.report() ?? figures.report()),
    { close, [Symbol.dispose]: close },
  )
}

function makeHandler(
  report: () => Awaitable<StatusReport>,
): (request: StatusRequest, response: StatusResponse) => void {
  const contentSecurityPolicy = [
    "default-src 'none'",
    `script-src '${sha256(STATUS_SCRIPT)}'`,
    `style-src '${sha256(STATUS_STYLE)}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ')
  return (request, response) => {
    response.setHeader('Cache-Control', 'no-store')
    response.setHeader('X-Content-Type-Options', 'nosniff')
    response.setHeader('Content-Security-Policy', contentSecurityPolicy)
    response.setHeader('Vary', 'Accept')
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.statusCode = 405
      response.setHeader('Allow', 'GET, HEAD')
      response.end('')
    } else if (wantsJson(request)) {
      response.setHeader('Content-Type', 'application/json')
      andThen(report(), (told) => response.end(JSON.stringify(told)))
    } else {
      response.setHeader('Content-Type', 'text/html; charset=utf-8')
      response.end(STATUS_PAGE)
    }
  }
}

function sha256(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}

/** A browser that opens the page asks for text/html; who asks for nothing special gets what people get. */
function wantsJson({ url = '', headers: { accept = '' } }: StatusRequest): boolean {
  if (new URLSearchParams(url.split('?')[1]).get('format') === 'json') return true
  return accept.includes('application/json') && !accept.includes('text/html')
}
