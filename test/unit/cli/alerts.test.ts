import { describe, expect, test } from 'vitest'
import { alertName, alertOf } from '../../../src/cli/alerts.ts'

describe('an alert is known by the error that Node makes of it', () => {
  test.each([
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', '', 'protocol_version'],
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', '', 'handshake_failure'],
    ['ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', '', 'handshake_failure'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', '', 'certificate_required'],
    ['ERR_SSL_TLSV1_UNRECOGNIZED_NAME', '', 'unrecognized_name'],
    ['ERR_SSL_TLSV1_ALERT_USER_CANCELLED', '', 'user_canceled'],
    ['ERR_SSL_REASON(1099)', '', 'alert 99'],
    ['ERR_SSL_SOME_NEW_NAME', 'error:0A000412:…:SSL alert number 42\n', 'bad_certificate'],
  ])('%s %s', (code, message, name) => {
    expect(alertName(alertOf(code, message) ?? -1)).toBe(name)
  })

  test.each([
    'ERR_SSL_WRONG_VERSION_NUMBER',
    'ERR_SSL_DH_KEY_TOO_SMALL',
    'ERR_SSL_UNSUPPORTED_PROTOCOL',
    'ERR_SSL_BAD_CERTIFICATE',
    'ERR_SSL_SSLV3_ROLLBACK_ATTACK',
    'ECONNRESET',
    'ERR_TIMEOUT',
  ])('%s is none', (code) => {
    expect(alertOf(code)).toBeUndefined()
  })
})
