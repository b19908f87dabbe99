/**
 * What is said in the clear before TLS begins on a port that is not TLS from its first byte:
 *
 *   smtp      EHLO, STARTTLS       RFC 3207        xmpp      <starttls/>             RFC 6120 §5
 *   imap      STARTTLS             RFC 3501 §6.2.1 postgres  SSLRequest              PostgreSQL, 55.2.12
 *   pop3      STLS                 RFC 2595 §4     mysql     SSLRequest              MySQL, Protocol::SSLRequest
 *   ftp       AUTH TLS             RFC 4217 §4     ldap      extended request 1.3.6.1.4.1.1466.20037, RFC 4511 §4.14
 */
import type net from 'node:net'
import { visibleBytes } from './wire.ts'

export type StartTls = 'smtp' | 'imap' | 'pop3' | 'ftp' | 'ldap' | 'xmpp' | 'postgres' | 'mysql'

/** Their ports by default. */
export const START_TLS_PORTS: Readonly<Record<StartTls, number>> = {
  smtp: 25,
  imap: 143,
  pop3: 110,
  ftp: 21,
  ldap: 389,
  xmpp: 5222,
  postgres: 5432,
  mysql: 3306,
}

export function isStartTls(text: string): text is StartTls {
  return Object.hasOwn(START_TLS_PORTS, text)
}

/** The server goes its own way; `answer` is what it said, as it came. */
export class StartTlsError extends Error {
  readonly answer: Uint8Array

  constructor(message: string, answer: Uint8Array) {
    super(message)
    this.answer = answer
  }
}

const MAX_ANSWER = 65_536

/** Asks and waits for answers; the deadline is that of the socket, which is destroyed by others. */
class Conversation {
  readonly #socket: net.Socket
  #received: Buffer = Buffer.alloc(0)

  constructor(socket: net.Socket) {
    this.#socket = socket
  }

  say(words: string | Uint8Array): void {
    this.#socket.write(words)
  }

  /**
   * Until `isWhole` accepts what has come.
   *
   * @returns what came, which is then forgotten
   * @throws {@link StartTlsError} when more comes than an answer is long, or the server ends
   */
  async hear(isWhole: (text: string) => boolean): Promise<string> {
    for (;;) {
      const text = this.#received.toString('latin1')
      if (isWhole(text)) {
        this.#received = Buffer.alloc(0)
        return text
      }
      if (text.length > MAX_ANSWER) throw new StartTlsError('its answer does not end', this.#received)
      const chunk = await this.#next()
      if (chunk === undefined) throw new StartTlsError('it ended the connection', this.#received)
      this.#received = Buffer.concat([this.#received, chunk])
    }
  }

  /** Who has said something that is no answer, and waits or fails then, is another server. */
  async #next(): Promise<Buffer | undefined> {
    try {
      return await nextChunk(this.#socket)
    } catch (error) {
      if (this.#received.length === 0) throw error
      throw new StartTlsError('it does not answer as it should', this.#received)
    }
  }
}

/** @returns undefined at the end; rejects with the error of the socket */
function nextChunk(socket: net.Socket): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const over = (settle: () => void): void => {
      socket.pause()
      socket.off('data', onData).off('end', onEnd).off('error', onError).off('close', onEnd)
      settle()
    }
    const onData = (chunk: Buffer): void => over(() => resolve(chunk))
    const onEnd = (): void => over(() => resolve(undefined))
    const onError = (error: Error): void => over(() => reject(error))
    socket.on('data', onData).once('end', onEnd).once('error', onError).once('close', onEnd)
    socket.resume()
  })
}

/** `250-first`, `250 last`: whole when a line has a space, or nothing, behind its code. */
const isReply = (text: string): boolean => /^\d{3}(?: [^\n]*)?\r?\n/m.test(text)
const isLine = (text: string): boolean => text.includes('\n')

function expectAnswer(text: string, isWanted: RegExp): void {
  if (!isWanted.test(text)) throw new StartTlsError('it does not go over to TLS', Buffer.from(text, 'latin1'))
}

type Talk = (talk: Conversation, name: string) => Promise<void>

const TALKS: Readonly<Record<StartTls, Talk>> = {
  async smtp(talk) {
    expectAnswer(await talk.hear(isReply), /^220/)
    talk.say('EHLO sslctx.invalid\r\n')
    expectAnswer(await talk.hear(isReply), /^250/)
    talk.say('STARTTLS\r\n')
    expectAnswer(await talk.hear(isReply), /^220/)
  },
  async imap(talk) {
    expectAnswer(await talk.hear(isLine), /^\* (OK|PREAUTH)/i)
    talk.say('a1 STARTTLS\r\n')
    expectAnswer(await talk.hear((text) => /^a1 [^\n]*\n/im.test(text)), /^a1 OK/im)
  },
  async pop3(talk) {
    expectAnswer(await talk.hear(isLine), /^\+OK/)
    talk.say('STLS\r\n')
    expectAnswer(await talk.hear(isLine), /^\+OK/)
  },
  async ftp(talk) {
    expectAnswer(await talk.hear(isReply), /^220/)
    talk.say('AUTH TLS\r\n')
    expectAnswer(await talk.hear(isReply), /^(234|334)/m)
  },
  async ldap(talk) {
    // LDAPMessage { messageID 1, extendedReq [APPLICATION 23] { requestName [0] the OID } }
    const oid = Buffer.from('1.3.6.1.4.1.1466.20037')
    const request = Buffer.concat([Buffer.from([0x77, oid.length + 2, 0x80, oid.length]), oid])
    talk.say(Buffer.concat([Buffer.from([0x30, request.length + 3, 0x02, 0x01, 0x01]), request]))
    // ExtendedResponse [APPLICATION 24] { resultCode ENUMERATED 0, … }
    const answer = await talk.hear((text) => isWholeDer(Buffer.from(text, 'latin1')))
    if (!/^0.*?<02><01><01>x.*?<0a><01><00>/.test(visibleBytes(answer)))
      throw new StartTlsError('it does not go over to TLS', Buffer.from(answer, 'latin1'))
  },
  async xmpp(talk, name) {
    const attributes = `xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'`
    talk.say(`<?xml version='1.0'?><stream:stream to='${name}' ${attributes}>`)
    const features = (text: string): boolean =>
      /<\/stream:features>|<stream:features\/>|<\/stream:stream>|<stream:error/.test(text)
    expectAnswer(await talk.hear(features), /<starttls/)
    talk.say(`<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`)
    expectAnswer(await talk.hear((text) => text.includes('>')), /^\s*<proceed/)
  },
  async postgres(talk) {
    talk.say(Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]))
    expectAnswer(await talk.hear(({ length }) => length > 0), /^S$/)
  },
  async mysql(talk) {
    const greeting = Buffer.from(
      await talk.hear(
        (text) => text.length >= 4 && text.length >= 4 + Buffer.from(text, 'latin1').readUIntLE(0, 3),
      ),
      'latin1',
    )
    // Version 10, a name that ends in NUL, thread, 8 bytes of salt and NUL, the lower half of the capabilities.
    const nameEnd = greeting.indexOf(0, 5)
    const flagsAt = nameEnd + 1 + 4 + 8 + 1
    const hasTls = greeting[4] === 10 && nameEnd > 0 && ((greeting[flagsAt + 1] ?? 0) & 0x08) !== 0
    if (!hasTls) throw new StartTlsError('it offers no TLS', greeting)
    // CLIENT_PROTOCOL_41, CLIENT_SSL, CLIENT_SECURE_CONNECTION; 16 MiB; utf8.
    const request = Buffer.alloc(36)
    request.set([32, 0, 0, 1, 0x00, 0x8a, 0x00, 0x00, 0, 0, 0, 1, 33])
    talk.say(request)
  },
}

function isWholeDer(bytes: Buffer): boolean {
  if (bytes.length < 2) return false
  const [, short = 0] = bytes
  if (short < 0x80) return bytes.length >= 2 + short
  const count = Math.min(short & 0x7f, 4)
  return bytes.length >= 2 + count && bytes.length >= 2 + count + bytes.readUIntBE(2, count)
}

/**
 * Brings a connection to where TLS begins.
 *
 * @param name - whose service it is, for XMPP
 * @throws {@link StartTlsError} when the server does not go along; else the error of the socket
 */
export async function startTls(protocol: StartTls, socket: net.Socket, name: string): Promise<void> {
  await TALKS[protocol](new Conversation(socket), name)
}
