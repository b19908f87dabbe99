/** The alerts of TLS by number, RFC 9846 §6 and the registry that it began. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0, 'close_notify'],
  [10, 'unexpected_message'],
  [20, 'bad_record_mac'],
  [21, 'decryption_failed'],
  [22, 'record_overflow'],
  [30, 'decompression_failure'],
  [40, 'handshake_failure'],
  [41, 'no_certificate'],
  [42, 'bad_certificate'],
  [43, 'unsupported_certificate'],
  [44, 'certificate_revoked'],
  [45, 'certificate_expired'],
  [46, 'certificate_unknown'],
  [47, 'illegal_parameter'],
  [48, 'unknown_ca'],
  [49, 'access_denied'],
  [50, 'decode_error'],
  [51, 'decrypt_error'],
  [60, 'export_restriction'],
  [70, 'protocol_version'],
  [71, 'insufficient_security'],
  [80, 'internal_error'],
  [86, 'inappropriate_fallback'],
  [90, 'user_canceled'],
  [100, 'no_renegotiation'],
  [109, 'missing_extension'],
  [110, 'unsupported_extension'],
  [111, 'certificate_unobtainable'],
  [112, 'unrecognized_name'],
  [113, 'bad_certificate_status_response'],
  [114, 'bad_certificate_hash_value'],
  [115, 'unknown_psk_identity'],
  [116, 'certificate_required'],
  [120, 'no_application_protocol'],
  [121, 'ech_required'],
])
const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...[...NAMES].map(([number, name]): [string, number] => [name, number]),
  // As libssl spells it.
  ['user_cancelled', 90],
])
/** What a server may say against the certificate of a client, or the want of one. */
const ABOUT_CERTIFICATES = new Set([41, 42, 43, 44, 45, 46, 48, 49, 116])

export function alertName(number: number): string {
  return NAMES.get(number) ?? `alert ${number}`
}

export function isAboutCertificates(alert: number): boolean {
  return ABOUT_CERTIFICATES.has(alert)
}

/**
 * The alert of an error such as `ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION`, which is how Node names one that was received; with
 * OpenSSL 3.5 some begin with `ERR_SSL_SSL/TLS_ALERT_`.
 *
 * @param message - of the error, in which libssl has the number
 * @returns undefined for what this client itself did not like
 */
export function alertOf(code: string, message = ''): number | undefined {
  const number = /SSL alert number (\d+)/.exec(message)?.[1] ?? /REASON\(1(\d{3})\)/.exec(code)?.[1]
  if (number !== undefined) return Number(number)
  const name = /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13|SSL\/TLS)_(?:ALERT_)?(.+)$/.exec(code)?.[1]?.toLowerCase()
  return name === undefined ? undefined : NUMBERS.get(name)
}
