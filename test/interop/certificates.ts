import { generate } from 'selfsigned'
import type { Certificate } from '../tools/certificate.ts'
import { type KeyKind, SERVER_NAME } from './setups.ts'

/** An authority, the server's certificate and a client's, all with keys of one kind. */
export interface Certificates {
  readonly authority: string
  readonly server: Certificate
  readonly client: Certificate
}

export function clientName(kind: KeyKind): string {
  return `interop ${kind} client`
}

type Extensions = NonNullable<NonNullable<Parameters<typeof generate>[1]>['extensions']>

export async function makeCertificates(kind: KeyKind): Promise<Certificates> {
  const authority = await issue(kind, `interop ${kind} authority`, [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
  ])
  const [server, client] = await Promise.all([
    issue(kind, SERVER_NAME, leaf('serverAuth'), authority),
    issue(kind, clientName(kind), leaf('clientAuth'), authority),
  ])
  return { authority: authority.cert, server, client }
}

function leaf(purpose: 'serverAuth' | 'clientAuth'): Extensions {
  return [
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', [purpose]: true },
    ...(purpose === 'serverAuth'
      ? [{ name: 'subjectAltName' as const, altNames: [{ type: 2 as const, value: SERVER_NAME }] }]
      : []),
  ]
}

async function issue(
  kind: KeyKind,
  commonName: string,
  extensions: Extensions,
  ca?: Certificate,
): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: commonName }], {
    ...(kind === 'ecdsa' ? { keyType: 'ec', curve: 'P-256' } : { keyType: 'rsa', keySize: 2048 }),
    algorithm: 'sha256',
    extensions,
    ...(ca && { ca }),
  })
  return { key, cert }
}
