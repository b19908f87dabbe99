import type { Layout, Version } from '../setups.ts'

/** Why a client resumes less than it has the chance to, with any server of these layouts. Checked: it must be seen to do just that. */
export interface Explanation {
  readonly client: string
  readonly version: Version
  readonly layouts: readonly Layout[]
  readonly offered: number
  readonly resumed: number
  readonly reason: string
}

export const explanations: readonly Explanation[] = [
  {
    client: 'Go crypto/tls',
    version: 'TLSv1.2',
    layouts: ['one', 'cluster'],
    offered: 0,
    resumed: 0,
    reason:
      'Go resumes TLS 1.2 with tickets only (RFC 5077): its client keeps a session when a NewSessionTicket comes ' +
      '(readSessionTicket in handshake_client.go) and never offers a session id.',
  },
  {
    client: 'Go crypto/tls',
    version: 'TLSv1.2',
    layouts: ['tickets'],
    offered: 0,
    resumed: 0,
    reason:
      'Go before 1.21 does not know the extended master secret (RFC 7627), without which there is no ticket in TLS 1.2.',
  },
]
