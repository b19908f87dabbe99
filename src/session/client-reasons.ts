/**
 * Why a client's handshake resumed or not, each reason once. `isMiss`: a full handshake with a server of which there has been
 * something to offer.
 */
export const CLIENT_REASONS = {
  resumed: { isMiss: false, means: 'The server has resumed what was offered.' },
  refused: { isMiss: true, means: 'The server has not resumed what was offered.' },
  'nothing-to-offer': {
    isMiss: false,
    means: 'Nothing is known of the server yet, or it gave no ticket.',
  },
  'used-up': { isMiss: true, means: 'All tickets have been used, and the server gave no new one yet.' },
  expired: { isMiss: true, means: 'What there was had come to the end of its life.' },
  'after-failure': {
    isMiss: true,
    means: 'A connection that offered a session has failed, and what there was of this server was let go.',
  },
  'trust-differs': {
    isMiss: true,
    means:
      'There are sessions of this host and port, but what they verified, or who the client was, differs.',
  },
  'not-bindable': {
    isMiss: true,
    means:
      'With an option of this connection nobody can say what is verified: nothing is kept, nothing offered.',
  },
  'handshake-failed': {
    isMiss: false,
    means: 'The handshake was not completed, whatever was offered.',
  },
  'own-session': { isMiss: false, means: 'The caller gave a session by hand.' },
} as const

/** What a client's handshake came to, and why: a closed union. */
export type ClientReason = keyof typeof CLIENT_REASONS
