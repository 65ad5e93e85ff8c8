// Tokens made by node's own crypto, apart from the server's code: right ones and forged ones.
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';

export const secret = 'a secret of the tests, longer than 32 bytes';

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
export const now = () => Math.floor(Date.now() / 1000);

/** A compact JWS over `header` and `claims`, whatever they say; `signer(text)` gives the signature's bytes. */
export function compact(header, claims, signer) {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${Buffer.from(signer(text)).toString('base64url')}`;
}

export const hmac = (key) => (text) => createHmac('sha256', key).update(text).digest();

/** HS256 with the tests' secret: a user for a minute unless `claims` say otherwise. */
export function token(user, claims = {}, header = {}) {
  const all = { sub: user, iat: now(), exp: now() + 60, ...claims };
  return compact({ alg: 'HS256', typ: 'JWT', ...header }, all, hmac(secret));
}

/** A new key pair: its public half as PEM and JWK, and what signs with the private one. */
export function pair(kind) {
  const made = {
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: () => generateKeyPairSync('ed25519'),
  }[kind]();
  const digest = kind === 'EdDSA' ? null : 'sha256';
  const signer = (text) => sign(digest, Buffer.from(text), { key: made.privateKey, dsaEncoding: 'ieee-p1363' });
  return {
    kind,
    pem: made.publicKey.export({ type: 'spki', format: 'pem' }),
    privatePem: made.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    jwk: (kid) => ({ ...made.publicKey.export({ format: 'jwk' }), kid }),
    token: (user, claims = {}, header = {}) =>
      compact({ alg: kind, ...header }, { sub: user, iat: now(), exp: now() + 60, ...claims }, signer),
  };
}

export const bearer = (text) => ({ authorization: `Bearer ${text}` });

/** POST a command with a token (or other header fields); the answer's JSON with its HTTP status. */
export async function command(server, credentials, name, body = {}, more = {}) {
  const fields = typeof credentials === 'string' ? bearer(credentials) : credentials;
  const response = await fetch(`${server.url}/api/${name.replace('.', '/')}${more.query ?? ''}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...fields, ...more.headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, ...(await response.json()) };
}

/** The status of a GET with these header fields; the body is not waited for. */
export async function status(server, path, fields = {}) {
  const stop = new AbortController();
  const response = await fetch(server.url + path, { headers: fields, signal: stop.signal });
  const { status: code } = response;
  stop.abort();
  return code;
}
