import { generate } from 'selfsigned'
import type { Certificate } from '../certificate.ts'
import { engineMajors, enginePath, engineVersion } from '../engines/engine-binary.ts'
import type { Setting } from './handshakes.ts'

const KEYS = {
  ECDSA: { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' },
  RSA: { keySize: 2048, algorithm: 'sha256' },
} as const

/** @throws Error when the newest line of Node cannot be had */
export async function findSettings(): Promise<[Setting, ...Setting[]]> {
  const newest = await enginePath(engineMajors[engineMajors.length - 1] ?? 20)
  const [ecdsa, rsa] = [await makeCertificate('ECDSA'), await makeCertificate('RSA')]
  const setting = (binary: string, version: string, key: string, certificate: Certificate): Setting => ({
    name: `Node ${version}, ${key}`,
    binary,
    certificate,
  })
  const { execPath, versions } = process
  const settings: [Setting, ...Setting[]] = [
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
