// The same journey for every stock client: authorize, use, refresh, be refused, revoke. A client is an object with
//   discover()                → the server's metadata
//   request(state, verifier)  → URL of an authorization request
//   exchange(callback, state, verifier) → tokens; checks state and iss first
//   refresh(token)            → tokens
//   introspect(token)         → what the resource server learns
//   revoke(token, hint)       → RFC 7009
//   validate(token)           → the claims of a JWT access token (RFC 9068), where the library can tell
// A refusal of the server is an exception whose `error` is the code of the RFC, as both libraries have it.

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';

import { Person } from './person.mjs';

globalThis.crypto ??= webcrypto; // Node 18 has it, but not as a global.

const TIME_LIMIT = 60_000;
const MEMBERS = [
  'issuer', 'client_id', 'client_secret', 'redirect_uri', 'scope',
  'username', 'password', 'resource_server_id', 'resource_server_secret',
];

export async function run(makeClient) {
  const steps = [];
  let step = 'read the settings';
  const finish = (report, code) => {
    process.stdout.write(`${JSON.stringify(report)}\n`);
    process.exit(code);
  };
  const fail = (error) => finish({ ok: false, step, error: describe(error), steps }, 1);
  setTimeout(() => fail(new Error(`not done after ${TIME_LIMIT / 1000} s`)), TIME_LIMIT).unref();
  const walk = async (name, act) => {
    step = name;
    const result = await act();
    steps.push(name);
    return result;
  };
  try {
    const settings = JSON.parse(process.argv[2] ?? '');
    const missing = MEMBERS.filter((name) => !(name in settings));
    assert.equal(missing.join(' '), '', `missing: ${missing.join(', ')}`);
    await journey(makeClient(settings), new Person(settings), settings, walk);
  } catch (error) {
    fail(error);
  }
  finish({ ok: true, steps }, 0);
}

async function journey(client, person, settings, walk) {
  const authorize = async () => {
    const [state, verifier] = [client.randomState(), client.randomVerifier()];
    const callback = await person.authorize(await client.request(state, verifier), settings.redirect_uri);
    const tokens = await client.exchange(callback, state, verifier);
    checkTokens(tokens);
    return { callback, state, verifier, tokens };
  };
  const active = async (token) => {
    const answer = await client.introspect(token);
    assert.equal(answer.active, true, `introspection says ${JSON.stringify(answer)}`);
    return answer;
  };
  const dead = async (token) => assert.deepEqual(await client.introspect(token), { active: false });
  const refused = async (token) => assert.equal(await refusal(client.refresh(token)), 'invalid_grant');

  await walk('metadata by RFC 8414', async () => checkMetadata(await client.discover(), settings));

  const first = await walk('authorize with consent, PKCE and iss; exchange the code', authorize);
  assert.equal(person.consentsShown, 1, 'the first authorization asks for consent');
  const grantId = await walk('the app is on the list', () => person.newGrant());

  await walk('introspection: active', async () => {
    const answer = await active(first.tokens.access_token);
    assert.equal(answer.client_id, settings.client_id);
    assert(answer.sub, 'no sub');
    assert(Number.isInteger(answer.exp) && answer.exp > Date.now() / 1000, `exp is ${answer.exp}`);
    assert.deepEqual(words(answer.scope), words(settings.scope));
    // A refresh token is no business of a resource server.
    await dead(first.tokens.refresh_token);
  });

  if (settings.token_format === 'jwt') {
    await walk('the access token is a JWT that the resource server checks by itself', async () => {
      const { access_token } = first.tokens;
      const facts = await active(access_token);
      const claims = JSON.parse(Buffer.from(access_token.split('.')[1], 'base64url'));
      for (const name of ['iss', 'sub', 'aud', 'client_id', 'jti', 'iat', 'exp', 'scope']) {
        assert.equal(claims[name], facts[name], name);
      }
      assert.deepEqual(await client.validate?.(access_token) ?? claims, claims);
    });
  }

  const second = await walk('refresh: a new pair', async () => {
    const tokens = await client.refresh(first.tokens.refresh_token);
    checkTokens(tokens);
    assert.notEqual(tokens.refresh_token, first.tokens.refresh_token);
    assert.notEqual(tokens.access_token, first.tokens.access_token);
    await active(tokens.access_token);
    return tokens;
  });

  await walk('a lost answer does no harm: the same successor again', async () => {
    const again = await client.refresh(first.tokens.refresh_token);
    assert.equal(again.refresh_token, second.refresh_token);
    assert.notEqual(again.access_token, second.access_token);
    await active(again.access_token);
  });

  await walk('refresh token reuse closes the family', async () => {
    const third = await client.refresh(second.refresh_token);
    await active(third.access_token);
    await refused(first.tokens.refresh_token);
    await refused(third.refresh_token);
    await dead(third.access_token);
    await dead(second.access_token);
    await dead(first.tokens.access_token);
  });

  await walk('the app revokes its refresh token (RFC 7009)', async () => {
    const { tokens } = await authorize();
    await active(tokens.access_token);
    await client.revoke(tokens.refresh_token, 'refresh_token');
    await dead(tokens.access_token);
    await refused(tokens.refresh_token);
    // Again, and of something that never was: both are 200 (RFC 7009 §2.2).
    await client.revoke(tokens.refresh_token, 'refresh_token');
    await client.revoke('no-such-token', 'access_token');
  });

  await walk('the app revokes an access token under a wrong hint (RFC 7009)', async () => {
    const { tokens } = await authorize();
    await client.revoke(tokens.access_token, 'refresh_token');
    await dead(tokens.access_token);
    const next = await client.refresh(tokens.refresh_token);
    await active(next.access_token);
  });

  const last = await walk('authorize once more', authorize);
  await walk('the user revokes the app', async () => {
    await active(last.tokens.access_token);
    const form = await person.revoke(grantId);
    await dead(last.tokens.access_token);
    await refused(last.tokens.refresh_token);
    assert(!(await person.apps()).includes(grantId), 'the revoked app is still on the list');
    await person.repeat(form);
  });

  await walk('after that, consent is asked again, and may be denied', async () => {
    const before = person.consentsShown;
    const state = client.randomState();
    const verifier = client.randomVerifier();
    const callback = await person.authorize(await client.request(state, verifier), settings.redirect_uri, 'deny');
    assert.equal(person.consentsShown, before + 1, 'the consent page was passed over');
    assert.equal(callback.searchParams.has('code'), false, 'a code in spite of the denial');
    assert.equal(await refusal(client.exchange(callback, state, verifier)), 'access_denied');
  });
}

function checkMetadata(metadata, { issuer, client_secret }) {
  assert.equal(metadata.issuer, issuer);
  const at = (name) => assert.equal(new URL(metadata[name]).origin, new URL(issuer).origin, name);
  ['authorization_endpoint', 'token_endpoint', 'revocation_endpoint', 'introspection_endpoint'].forEach(at);
  assert.deepEqual(metadata.response_types_supported, ['code']);
  assert.deepEqual(metadata.code_challenge_methods_supported, ['S256']);
  assert.equal(metadata.authorization_response_iss_parameter_supported, true);
  for (const grant of ['authorization_code', 'refresh_token']) assert(metadata.grant_types_supported.includes(grant), grant);
  for (const list of ['token_endpoint_auth_methods_supported', 'revocation_endpoint_auth_methods_supported']) {
    const methods = client_secret === null ? ['none'] : ['client_secret_basic', 'client_secret_post'];
    for (const method of methods) assert(metadata[list]?.includes(method), `${list} lacks ${method}`);
  }
  assert.equal(metadata.authorizations_management_uri, new URL('/authorizations', issuer).href);
}

function checkTokens(tokens) {
  assert.equal(tokens.token_type.toLowerCase(), 'bearer');
  assert(Number.isInteger(tokens.expires_in) && tokens.expires_in > 0, `expires_in is ${tokens.expires_in}`);
  assert.match(tokens.refresh_token ?? '', /^rsc_rt_[0-9A-Za-z]{49}$/);
  assert.match(tokens.access_token, /^(rsc_at_[0-9A-Za-z]{49}|[\w-]+\.[\w-]+\.[\w-]+)$/);
}

const words = (scope) => (scope ?? '').split(' ').filter(Boolean).sort();

// The error code of a request that must be refused.
async function refusal(request) {
  try {
    await request;
  } catch (error) {
    if (typeof error.error === 'string') return error.error;
    throw error;
  }
  return 'no refusal: the server answered with success';
}

function describe(error) {
  const place = error.stack?.split('\n').find((line) => line.includes('.mjs'))?.trim() ?? '';
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  const body = typeof error.error === 'string' ? ` [${error.error}: ${error.error_description ?? ''}]` : '';
  return `${error.message}${body}${cause} ${place.replace(/\(?file:.*\//, '(')}`.trim();
}
