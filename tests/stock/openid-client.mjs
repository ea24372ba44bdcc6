// Rescind as the library openid-client sees it; the secret travels in the body (client_secret_post).
//   node openid-client.mjs '{"issuer":"http://127.0.0.1:8080","client_id":…}'

import * as client from 'openid-client';

import { run } from './journey.mjs';

await run((settings) => {
  const proof = settings.client_secret === null ? client.None() : client.ClientSecretPost(settings.client_secret);
  let app;
  let guard;
  return {
    randomState: client.randomState,
    randomVerifier: client.randomPKCECodeVerifier,

    async discover() {
      const execute = [client.allowInsecureRequests]; // http, on loopback
      app = await client.discovery(new URL(settings.issuer), settings.client_id, {}, proof, { algorithm: 'oauth2', execute });
      const guardProof = client.ClientSecretBasic(settings.resource_server_secret);
      guard = new client.Configuration(app.serverMetadata(), settings.resource_server_id, {}, guardProof);
      client.allowInsecureRequests(guard);
      return app.serverMetadata();
    },

    async request(state, verifier) {
      return client.buildAuthorizationUrl(app, {
        redirect_uri: settings.redirect_uri,
        scope: settings.scope,
        state,
        code_challenge: await client.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      });
    },

    exchange(callback, state, verifier) {
      return client.authorizationCodeGrant(app, callback, { pkceCodeVerifier: verifier, expectedState: state });
    },

    refresh: (token) => client.refreshTokenGrant(app, token),

    introspect: (token) => client.tokenIntrospection(guard, token),

    revoke: (token, hint) => client.tokenRevocation(app, token, { token_type_hint: hint }),
  };
});
