// Three parts that a store with short-lived credentials has around it, on one loopback port each:
// an OpenID provider, the gate in front of the store, and what writes a service account's tokens
// into files, as the kubelet does. Only the store behind the gate is somebody else's.
//
//   provider.mjs PORT GATE_PORT STORE SECONDS
//
// Tokens live SECONDS. The provider's port takes two requests of the test's own beside those of
// the protocol: `GET /test/counts` and `POST /test/change`.
import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import * as jose from 'jose';
import Provider, { errors } from 'oidc-provider';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';

const [port, gatePort, store, seconds] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const lifetime = Number(seconds);
const { publicKey, privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
const jwks = { keys: [{ ...(await jose.exportJWK(publicKey)), alg: 'ES256', use: 'sig' }] };

const machine = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
const provider = new Provider(issuer, {
  clients: [
    { ...machine, client_id: 'in-header', client_secret: 'sec:ret/+%1 2', token_endpoint_auth_method: 'client_secret_basic' },
    { ...machine, client_id: 'in-form', client_secret: 'form-secret', token_endpoint_auth_method: 'client_secret_post' },
    { ...machine, client_id: 'asserted', token_endpoint_auth_method: 'private_key_jwt', jwks },
    { ...machine, client_id: 'exchanged', token_endpoint_auth_method: 'none', grant_types: [EXCHANGE] },
  ],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  scopes: ['metrics'],
  ttl: { ClientCredentials: lifetime },
});
// Of RFC 8693 the provider leaves to its users which tokens are exchanged.
provider.registerGrantType(EXCHANGE, async (ctx, next) => {
  const { client, params } = ctx.oidc;
  if (params.subject_token_type !== JWT || params.requested_token_type !== ACCESS_TOKEN) {
    throw new errors.InvalidRequest('unexpected kinds of tokens');
  }
  await jose.jwtVerify(params.subject_token, publicKey, { audience: params.audience }).catch((error) => {
    throw new errors.InvalidGrant(`subject token: ${error.message}`);
  });
  const token = new provider.ClientCredentials({ client, scope: params.scope });
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: ACCESS_TOKEN,
    token_type: 'Bearer',
    expires_in: token.expiration,
    scope: params.scope,
  };
  await next();
}, ['audience', 'scope', 'subject_token', 'subject_token_type', 'requested_token_type']);

const counts = { issued: 0, atOnce: 0, mostAtOnce: 0, admitted: 0, refused: 0, tokensSeen: 0 };
provider.on('grant.success', () => { counts.issued += 1; });

// What the test changes: whether the provider is out of order, and which tokens are written where.
let outage = false;
const files = [];

async function write({ file, claims }) {
  const token = await new jose.SignJWT({ ...claims, jti: randomUUID() })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1000) + lifetime)
    .sign(privateKey);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, token);
  renameSync(`${file}.new`, file);
}
setInterval(() => files.forEach(write), 200);

async function text(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const answer = provider.callback();
http.createServer(async (request, response) => {
  if (request.url === '/test/counts') {
    response.end(JSON.stringify(counts));
    return;
  }
  if (request.url === '/test/change') {
    const change = JSON.parse(await text(request));
    outage = change.outage ?? outage;
    if (change.file) {
      await write(change);
      files.push(change);
    }
    response.end();
    return;
  }
  if (request.url === '/token') {
    if (outage) {
      response.writeHead(503).end('out of order');
      return;
    }
    counts.atOnce += 1;
    counts.mostAtOnce = Math.max(counts.mostAtOnce, counts.atOnce);
    response.on('close', () => { counts.atOnce -= 1; });
  }
  answer(request, response);
}).listen(port, '127.0.0.1');

// The gate lets in who has a token of the provider's, or one of a service account for the store.
const seen = new Set();
async function mayEnter(token) {
  if (await provider.ClientCredentials.find(token)) return true;
  return jose.jwtVerify(token, publicKey, { audience: 'store' }).then(() => true, () => false);
}
http.createServer(async (request, response) => {
  const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  if (!(await mayEnter(token))) {
    counts.refused += 1;
    response.writeHead(401).end(`no such token: ${token}`);
    return;
  }
  counts.admitted += 1;
  seen.add(token);
  counts.tokensSeen = seen.size;
  const { authorization, ...headers } = request.headers;
  const forwarded = http.request(`${store}${request.url}`, { method: request.method, headers }, (answered) => {
    response.writeHead(answered.statusCode, answered.headers);
    answered.pipe(response);
  });
  forwarded.on('error', () => response.writeHead(502).end());
  request.pipe(forwarded);
}).listen(gatePort, '127.0.0.1');
