import type { Version } from '../setups.ts'

/** Why a client resumes less than it has the chance to, with any server. Checked: it must be seen to do just that. */
export interface Explanation {
  readonly client: string
  readonly version: Version
  readonly offered: number
  readonly resumed: number
  readonly reason: string
}

export const explanations: readonly Explanation[] = [
  {
    client: 'Go crypto/tls',
    version: 'TLSv1.2',
    offered: 0,
    resumed: 0,
    reason:
      'Go resumes TLS 1.2 with tickets only (RFC 5077): its client keeps a session when a NewSessionTicket comes ' +
      '(readSessionTicket in handshake_client.go) and never offers a session id.',
  },
]
