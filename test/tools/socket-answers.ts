import type { Duplex } from 'node:stream'
import tls from 'node:tls'

/** What a socket answers to each question that Node's documentation allows: a short description, by the question. */
export type SocketAnswers = Readonly<Record<string, string>>

/** With what each method is called; those that are not here change the connection, wait, or are private. */
const METHODS: Readonly<Record<string, readonly unknown[]>> = {
  getProtocol: [],
  getCipher: [],
  getSession: [],
  getTLSTicket: [],
  isSessionReused: [],
  getPeerCertificate: [true],
  getPeerX509Certificate: [],
  getX509Certificate: [],
  getCertificate: [],
  getEphemeralKeyInfo: [],
  getFinished: [],
  getPeerFinished: [],
  getSharedSigalgs: [],
  exportKeyingMaterial: [32, 'EXPORTER-test'],
  disableRenegotiation: [],
  setMaxSendFragment: [16_384],
  address: [],
  isPaused: [],
  setNoDelay: [true],
  setKeepAlive: [false],
  setTimeout: [0],
  ref: [],
  eventNames: [],
}

const PROPERTIES = [
  'authorized',
  'authorizationError',
  'alpnProtocol',
  'servername',
  'encrypted',
  'remoteAddress',
  'remotePort',
  'remoteFamily',
  'localAddress',
  'localPort',
  'localFamily',
  'bytesRead',
  'bytesWritten',
  'connecting',
  'pending',
  'readyState',
  'timeout',
  'destroyed',
  'readable',
  'writable',
  'readableEnded',
  'writableEnded',
  'allowHalfOpen',
] as const

/** Those that are the same for every socket of a moment, whatever the ports and the timing. */
const STEADY: readonly string[] = [
  'getProtocol',
  'getCipher',
  'getSession',
  'getTLSTicket',
  'isSessionReused',
  'getPeerCertificate',
  'getPeerX509Certificate',
  'getX509Certificate',
  'getCertificate',
  'getEphemeralKeyInfo',
  'getFinished',
  'getPeerFinished',
  'getSharedSigalgs',
  'exportKeyingMaterial',
  'disableRenegotiation',
  'setMaxSendFragment',
  'authorized',
  'authorizationError',
  'alpnProtocol',
  'encrypted',
]

/**
 * Asks everything that a listener may ask of a TLSSocket.
 *
 * @param asking - is told each question before it is put: one that ends the process leaves its name behind
 */
export function answersOf(
  socket: Duplex,
  asking: (question: string) => void = () => undefined,
): SocketAnswers {
  const answers: Record<string, string> = {}
  const put = (question: string, ask: () => unknown): void => {
    asking(question)
    try {
      answers[question] = describe(ask())
    } catch (error) {
      answers[question] = `throws ${(error as NodeJS.ErrnoException).code ?? String(error)}`
    }
  }
  const subject = socket as unknown as Readonly<Record<string, unknown>>
  answers['is'] = socket instanceof tls.TLSSocket ? 'TLSSocket' : socket.constructor.name
  for (const [name, values] of Object.entries(METHODS)) {
    const method = subject[name]
    if (typeof method === 'function') put(name, () => Reflect.apply(method, socket, values))
    // What this line of Node does not have nobody is asked for.
    else if (name in tls.TLSSocket.prototype) answers[name] = 'is no function'
  }
  for (const name of PROPERTIES) put(name, () => subject[name])
  return answers
}

/**
 * Where one socket answers otherwise than another of the same moment. What throws on the other one may do as it likes, as long
 * as it is there.
 */
export function differences(answers: SocketAnswers, expected: SocketAnswers): readonly string[] {
  return ['is', ...STEADY, ...Object.keys(expected)]
    .filter((question, index, all) => all.indexOf(question) === index)
    .filter((question) => differs(question, answers[question], expected[question]))
    .map((question) => `${question}: ${answers[question]}, and not ${expected[question]}`)
}

/** What is the same for every socket of a moment, and what goes wrong. */
export function tellingAnswers(answers: SocketAnswers): SocketAnswers {
  return Object.fromEntries(
    Object.entries(answers).filter(
      ([question, answer]) =>
        question === 'is' ||
        STEADY.includes(question) ||
        answer === 'is no function' ||
        answer.startsWith('throws'),
    ),
  )
}

function differs(question: string, answer: string | undefined, expected: string | undefined): boolean {
  if (answer === 'is no function' || (answer?.startsWith('throws') && !expected?.startsWith('throws')))
    return true
  if (expected?.startsWith('throws')) return false
  return (question === 'is' || STEADY.includes(question)) && answer !== expected
}

function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'boolean') return String(value)
  if (typeof value === 'object') {
    const { name } = value.constructor ?? { name: 'Object' }
    if (name !== 'Object') return name
    return Object.keys(value).length === 0 ? '{}' : `{${Object.keys(value).sort().join()}}`
  }
  return typeof value
}
