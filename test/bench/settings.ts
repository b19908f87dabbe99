import { generate } from 'selfsigned'
import type { Certificate } from '../tools/certificate.ts'
import { engineMajors, enginePath, engineVersion } from '../tools/engine-binary.ts'
import type { Setting } from './handshakes.ts'

const KEYS = {
  ECDSA: { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' },
  RSA: { keySize: 2048, algorithm: 'sha256' },
} as const

/**
 * @param part - of the names of those that are wanted
 * @throws Error when the newest line of Node cannot be had, and when no setting has that name
 */
export async function findSettings(part: string): Promise<[Setting, ...Setting[]]> {
  const [first, ...others] = (await allSettings()).filter(({ name }) => name.includes(part))
  if (first === undefined) throw new Error(`no setting is called ${part}`)
  return [first, ...others]
}

async function allSettings(): Promise<Setting[]> {
  const newest = await enginePath(engineMajors[engineMajors.length - 1] ?? 20)
  const [ecdsa, rsa] = [await makeCertificate('ECDSA'), await makeCertificate('RSA')]
  const setting = (binary: string, version: string, key: string, certificate: Certificate): Setting => ({
    name: `Node ${version}, ${key}`,
    binary,
    certificate,
  })
  const { execPath, versions } = process
  const settings = [
    setting(execPath, versions.node, 'ECDSA', ecdsa),
    setting(execPath, versions.node, 'RSA', rsa),
  ]
  if (newest === execPath) return settings
  const version = await engineVersion(newest)
  return [...settings, setting(newest, version, 'ECDSA', ecdsa), setting(newest, version, 'RSA', rsa)]
}

async function makeCertificate(kind: keyof typeof KEYS): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'bench.example' }], KEYS[kind])
  return { key, cert }
}
