import { generate } from 'selfsigned'
import type { Certificate } from '../certificate.ts'

/** ECDSA P-256: with RSA a full handshake would cost so much more that nothing else could be seen. */
export async function makeServerCertificate(): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'bench.example' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
  })
  return { key, cert }
}
