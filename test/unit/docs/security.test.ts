import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readPage, root, sectionsOf } from '../../tools/markdown.ts'

/** A test that would fail if the statement were not true: its file, and its title or the beginning of that. */
type Proof = readonly [file: string, title: string]

const abort: Proof = ['test/proof/abort/abort.test.ts', 'do none to an attached one: it lives']
const hostile = (title: string): Proof => ['test/proof/hostile/hostile.test.ts', title]
const stolen = (title: string): Proof => ['test/unit/node/stolen-sessions.test.ts', title]
const sealedStore = (title: string): Proof => ['test/unit/store/sealed-store.test.ts', title]
const chain = (title: string): Proof => ['test/unit/store/revocation-chain.test.ts', title]
const marks = (title: string): Proof => ['test/unit/store/revocations.test.ts', title]
const lmdb = (title: string): Proof => ['test/unit/store/lmdb-store.test.ts', title]
const isolation = (title: string): Proof => ['test/unit/node/isolation.test.ts', title]

/** By how the statement begins. */
const PROOFS: Readonly<Record<string, readonly Proof[]>> = {
  'A client cannot end the process': [abort, hostile('cause no uncaught error')],
  'A client that sends nonsense': [
    hostile('keep no good client from connecting and resuming meanwhile'),
    hostile('all arrive, and each has exactly one outcome'),
  ],
  'A client that leaves in mid-handshake': [
    abort,
    hostile('leave no socket and no other resource behind'),
    hostile('leave no memory behind'),
  ],
  'A client cannot resume under another server name': [
    isolation('for the server name it was made for (virtual host confusion'),
  ],
  'A client cannot resume where its certificate would be judged': [
    [
      'test/unit/node/trust-options.test.ts',
      'a session of the one is not good on the other, when they differ in',
    ],
    ['test/unit/node/default-authorities.test.ts', 'without ca, a session is good only where'],
  ],
  'A client cannot avoid these rules': [
    [
      'test/unit/node/unread-hello.test.ts',
      'and another name after a HelloRetryRequest: nobody is authorized there',
    ],
    ['test/unit/node/unread-hello.test.ts', 'no session of TLS 1.3 is kept, and its client is served'],
  ],
  'A client that changes its server name': [
    [
      'test/unit/node/guards.test.ts',
      'a client that names another server is cut off, and nothing of it is kept',
    ],
  ],
  'A client without a verified certificate': [
    isolation('%s: of a client without a certificate'),
    isolation('%s: of a client whose certificate nobody knows'),
  ],
  'A client cannot stretch one full handshake': [
    ['test/unit/node/lifetime.test.ts', 'is carried over through every TLS 1.3 resumption'],
    [
      'test/unit/node/tickets.test.ts',
      'when its full handshake is too long ago, through whatever chain of renewals',
    ],
  ],
  'A client certificate that has expired': [
    ['test/unit/node/lifetime.test.ts', 'a session ends with the first certificate of its chain'],
  ],
  'A client that is revoked resumes in no process': [
    [
      'test/unit/node/revocation.test.ts',
      'a client whose certificate is revoked by one process resumes with none',
    ],
  ],
  'A client that is revoked between': [
    [
      'test/unit/node/tickets-together.test.ts',
      'a handshake whose ClientHello was judged goes on when its client is revoked meanwhile',
    ],
  ],
  'A client can name sessions': [
    hostile('leave alone the sessions that they named: their owners resume'),
    stolen('%s: resumes nothing'),
  ],
  'A client can make lookups': [stolen('with sixty PSK identities makes one lookup in the store')],
  'A client that offers many stateless tickets': [
    ['test/unit/node/tickets-identities.test.ts', 'no more than four are looked at'],
  ],
  'A client that offers one stateless ticket': [
    [
      'test/unit/node/judged-tickets.test.ts',
      'is good for the one that libssl reads, and none of the others is asked',
    ],
    [
      'test/unit/node/judged-tickets.test.ts',
      'is refused where nothing tells for which of them it is, when they are more than 32',
    ],
  ],
  'A ClientHello of more than 64 PSK identities': [
    ['test/unit/codec/client-hello.test.ts', 'has at most 64 identities'],
  ],
  'A ClientHello of more than 128 KiB': [
    [
      'test/unit/codec/client-hello-records.test.ts',
      'a ClientHello is oversized as soon as its length has come',
    ],
  ],

  'The network sees session ids and tickets': [stolen('%s: resumes nothing')],
  'The network sees a TLS 1.2 session id': [
    stolen('a session id of TLS 1.2 is the same on the wire each time that it is used'),
  ],
  'The network cannot end a session of TLS 1.2': [
    stolen('in TLS 1.2 ends no session by a handshake that fails for want of its key'),
  ],
  'The network can end a session of TLS 1.2': [
    stolen('in TLS 1.2 ends that session by offering it without its cipher suite'),
  ],
  'The network can use up a session': [stolen('in TLS 1.3 uses up a session that is for a single use')],
  'The network cannot read the data': [
    stolen('in TLS 1.3 it has no key of a connection, and a resumption makes a key exchange of its own'),
  ],
  'The network cannot get a TLS 1.3 resumption': [
    stolen('that offers no new key exchange makes none, and is not resumed'),
  ],

  'Who reads a sealed store finds no master key': [
    [
      'test/unit/node/dump.test.ts',
      'the file of a sealed LMDB store holds no master key, session id, server name',
    ],
    ['test/unit/node/dump.test.ts', 'a dump of a sealed Redis holds none of them either'],
  ],
  'Who reads a sealed store cannot tell which entries': [
    sealedStore('shows its engine neither key nor value, and equal values as different ones'),
  ],
  'Who reads the marks': [marks('tells nobody whose it is')],
  'Who writes to a sealed store cannot make a session': [
    sealedStore('opens no value of which one bit was altered, wherever it is'),
    ['test/unit/node/dump.test.ts', 'values that were swapped, altered or sealed for others resume nobody'],
  ],
  'Who writes to a sealed store cannot move': [
    sealedStore('opens no value that was moved to the key of another'),
  ],
  'Who writes to a sealed store can put back': [
    sealedStore('has lost a value that expired, whatever the engine says, and put back as it was'),
    ['test/unit/node/dump.test.ts', 'a value that is put back after its session expired resumes nobody'],
  ],
  'Who writes to a store cannot make a revocation mark': [
    marks('counts only if a secret of the ring has signed it'),
  ],
  'Who takes away or swaps a single mark': [
    chain('is missed by a process that starts, whichever it is, of %i writers'),
    chain('is missed though %s is in its place'),
  ],
  'Who takes away all marks': [marks('resumes nothing that was made before this was found out')],
  'Who puts the whole set of marks back to an earlier moment': [
    [
      'test/unit/store/rollback.test.ts',
      'a process that starts does not see that the whole set of marks was put back',
    ],
  ],
  'Who takes away one of two revocations': [
    [
      'test/unit/store/rollback.test.ts',
      'of two revocations that did not know each other, a process that starts misses the one that was taken away',
    ],
  ],
  'Who puts the whole set of marks back is of no avail': [
    [
      'test/unit/store/rollback.test.ts',
      'a process that runs holds its marks when the whole set was put back',
    ],
  ],
  'Who can keep the marks from being read': [marks('for maxStaleMs stop every resumption, until they can')],
  'A store that fails, hangs': [
    ['test/proof/chaos/misbehaving-store.test.ts', 'costs full handshakes, and no connection'],
    ['test/proof/chaos/chaos.test.ts', 'ten client processes connect without a failure'],
  ],
  'A store outside the process': [
    sealedStore('refuse one that leaves the process unsealed, unless it is called plaintext'),
  ],
  'The store of `ClientSessions`': [
    ['test/unit/client/shared-tickets.test.ts', 'a store without secrets is refused'],
  ],

  'An LMDB environment that is new': [lmdb('that is new is its user’s alone')],
  'The file of a sealed LMDB store': [
    [
      'test/unit/node/dump.test.ts',
      'the file of a sealed LMDB store holds no master key, session id, server name',
    ],
    ['test/unit/node/dump.test.ts', 'this search finds all of them in a store that is not sealed'],
  ],
  'A full disk': [lmdb('that may not grow is not written to any more, says so, and goes on answering')],
  'Pages that are zeroed': [lmdb('whose pages are zeroes fails its writes, and rejects nothing')],
  'A process that is killed': [
    ['test/proof/kill/lmdb-kill.test.ts', 'lose nothing that was acknowledged when 20 writers are killed'],
  ],
  'A backup of the disk': [
    sealedStore('has lost a value that expired, whatever the engine says, and put back as it was'),
  ],

  'A stolen session of TLS 1.2': [stolen('in TLS 1.2 it has the master key of each connection that used it')],
  'A stolen session of TLS 1.3': [
    stolen('in TLS 1.3 it has no key of a connection, and a resumption makes a key exchange of its own'),
    stolen('%s: it lets the thief resume as its client, who has shown a certificate'),
  ],
  'A stolen secret of a `KeyRing`, with the store': [
    sealedStore('names sessions alike in all processes that have the secret, and otherwise in all others'),
  ],
  'A stolen secret of a `KeyRing`, with `tickets`': [
    ['test/unit/node/ticket-format.test.ts', 'are the same for all who have the secret'],
    ['test/unit/node/tickets.test.ts', 'resumes in every process that has the secret'],
  ],
  'A secret that was replaced': [
    sealedStore('has its secrets replaced without a restart'),
    ['test/unit/node/tickets.test.ts', 'when its secret is gone, and not while it is the second'],
  ],
  'A sealing key': [sealedStore('opens nothing that was sealed longer ago than openMs and a period')],
  'A secret that is weak': [sealedStore('says which secret is weak, and not what it is')],

  '`util.inspect`': [
    ['test/unit/session/ssl-session.test.ts', 'inspect shows what tells sessions apart'],
    ['test/unit/codec/ssl-session-der.test.ts', 'an error names the rule and never the bytes'],
    ['test/unit/observability/observability.test.ts', 'shows no secret'],
    sealedStore('shows no secret to inspect or JSON'),
  ],
  'The status page': [
    ['test/unit/observability/status-handler.test.ts', 'shows no session, id or server name'],
  ],
  '`toDer()`': [stolen('in TLS 1.2 it has the master key of each connection that used it')],
  'An error about an argument': [
    ['test/unit/node/attach-arguments.test.ts', 'quotes nothing of what it was given: it may be a secret'],
    ['test/unit/store/wrong-arguments.test.ts', '%s is refused, by its code and without its value'],
  ],
}

const page = readPage('docs/security.md')
const statements = [...page.text.matchAll(/^- ([^\n]+)$/gm)].map(([, statement = '']) => statement)

describe('docs/security.md', () => {
  test('has a place for each attacker', () => {
    expect([...sectionsOf(page.text, 2).keys()]).toEqual([
      'A client',
      'The network',
      'The store',
      'The disk',
      'What a stolen secret opens',
      'What can be seen in the process',
    ])
  })

  test.each(statements)('is proved: %s', (statement) => {
    const rows = Object.keys(PROOFS).filter((beginning) => statement.startsWith(beginning))
    expect(rows).toHaveLength(1)
  })

  test.each(Object.entries(PROOFS))('has the statement, and its tests are there: %s', (beginning, proofs) => {
    expect(statements.filter((statement) => statement.startsWith(beginning))).toHaveLength(1)
    expect(proofs.filter(([file, title]) => !titlesIn(file).some((one) => one.includes(title)))).toEqual([])
  })
})

/** What stands in quotes behind `test(`, `describe(` and their like, or alone on its line as their first argument. */
function titlesIn(file: string): readonly string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [
    ...text.matchAll(/(?:test|peerTest|describe)[^'"`\n]*\(\s*(['"`])(.*?)\1|^\s+(['"`])(.*?)\3,$/gms),
  ].map(([, , first, , second]) => first ?? second ?? '')
}
