import { createHash } from 'node:crypto'
import { decodeSslSession } from '../codec/ssl-session-der.ts'

/** RFC 5077 §4 recommends that a ticket begins with the name of its key, in so many bytes; libssl and those who follow it do so. */
const KEY_NAME_LENGTH = 16
const SHOWN_LENGTH = 8

/** Which keys the tickets of a server name: that is public, and tells whether servers share their keys, and when these change. */
export class TicketKeyNames {
  /** The beginnings of all tickets, by place. */
  readonly #beginnings: Map<string, string[]> = new Map()

  /** @param session - DER, with the ticket in it if there is one */
  note(place: string, session: Uint8Array): void {
    const { ticket } = decodeSslSession(session)
    if (ticket === undefined || ticket.length <= 2 * KEY_NAME_LENGTH) return
    const beginnings = this.#beginnings.get(place) ?? []
    beginnings.push(Buffer.from(ticket.subarray(0, KEY_NAME_LENGTH)).toString('latin1'))
    this.#beginnings.set(place, beginnings)
  }

  /** @returns for each key a word of its own, in the order in which they were seen; none where tickets do not begin with a name */
  of(place: string): readonly string[] {
    const beginnings = this.#beginnings.get(place) ?? []
    const names = [...new Set(beginnings)]
    // What is random is not seen twice.
    return names.length < beginnings.length ? names.map(shortHash) : []
  }
}

function shortHash(name: string): string {
  return createHash('sha256').update(name, 'latin1').digest('hex').slice(0, SHOWN_LENGTH)
}
