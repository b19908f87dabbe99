import { createPublicKey } from 'node:crypto'
import { generate } from 'selfsigned'

const YEAR_MS = 365 * 86_400_000

export interface Certificate {
  readonly key: string
  readonly cert: string
}

interface Wish {
  /** Who signs it; itself by default. */
  readonly ca?: Certificate
  readonly notAfterDate?: Date
  /** Its private key; a new one by default. */
  readonly key?: string
  readonly isAuthority?: boolean
  /** DNS names; the common name by default. */
  readonly names?: readonly string[]
}

/** RSA, since that is where resumption spares the most CPU. */
export async function makeCertificate(name: string, wish: Wish = {}): Promise<Certificate> {
  const { ca, notAfterDate, key: given, isAuthority = false, names = [name] } = wish
  const { private: key, cert } = await generate([{ name: 'commonName', value: name }], {
    keySize: 2048,
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: isAuthority, critical: true },
      ...(isAuthority
        ? [{ name: 'keyUsage' as const, keyCertSign: true, cRLSign: true, critical: true }]
        : []),
      { name: 'subjectAltName', altNames: names.map((value) => ({ type: 2 as const, value })) },
    ],
    ...(ca && { ca }),
    ...(notAfterDate && { notAfterDate, notBeforeDate: new Date(notAfterDate.getTime() - YEAR_MS) }),
    ...(given && { keyPair: { privateKey: given, publicKey: publicKeyOf(given) } }),
  })
  return { key, cert }
}

function publicKeyOf(key: string): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string
}
