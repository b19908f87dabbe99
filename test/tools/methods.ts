/** The three ways in which a client may resume, as `sslctx doctor` names them. */
export const METHODS = ['tls12-id', 'tls12-ticket', 'tls13'] as const
export type Method = (typeof METHODS)[number]
