// An identity provider as somebody else wrote it: oidc-provider, with JWT access tokens for client credentials.
// Usage: node issuer.mjs PLAN.json. The plan names the port, the TLS files, the clients with their claims, and
// the kids of the keys; with SIGHUP it is read again, and what it says is in force when its serial is printed.
// A kid is <algorithm in lower case>-<number>; of several keys of one algorithm the first signs.
import fs from 'node:fs';
import https from 'node:https';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const ALGORITHMS = { es256: 'ES256', rs256: 'RS256', ps256: 'PS256', eddsa: 'EdDSA' };
const AUDIENCE = 'https://api.septemcore.com';
const made = new Map();

async function key(kid) {
  if (!made.has(kid)) {
    const alg = ALGORITHMS[kid.split('-')[0]];
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    made.set(kid, { ...(await exportJWK(privateKey)), alg, use: 'sig', kid });
  }
  return made.get(kid);
}

async function provider(plan) {
  const keys = await Promise.all(plan.kids.map(key));
  const offered = [...new Set(keys.map((each) => each.alg))];
  return new Provider(plan.issuer, {
    clients: Object.keys(plan.clients).map((id) => ({
      client_id: id, client_secret: 'secret-of-a-test', grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [], id_token_signed_response_alg: offered[0],
    })),
    jwks: { keys },
    scopes: ['openid', 'api:read'],
    enabledJWA: { idTokenSigningAlgValues: offered },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'api:read', audience: AUDIENCE, accessTokenTTL: 600, accessTokenFormat: 'jwt',
          jwt: { sign: { alg: new URL(resource).searchParams.get('alg') } },
        }),
      },
    },
    extraTokenClaims: (_ctx, token) => plan.clients[token.clientId],
  });
}

let answer;
async function read() {
  const plan = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
  answer = (await provider(plan)).callback();
  return plan;
}

const plan = await read();
process.on('SIGHUP', () => read().then(({ serial }) => console.log(`serial ${serial}`)));
https
  .createServer({ key: fs.readFileSync(plan.key), cert: fs.readFileSync(plan.cert) }, (request, response) => answer(request, response))
  .listen(plan.port, '127.0.0.1', () => console.log(`serial ${plan.serial}`));
