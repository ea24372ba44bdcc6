// Rescind as the library oauth4webapi sees it; the secret travels by HTTP Basic.
//   node oauth4webapi.mjs '{"issuer":"http://127.0.0.1:8080","client_id":…}'

import * as oauth from 'oauth4webapi';

import { run } from './journey.mjs';

const PLAIN = { [oauth.allowInsecureRequests]: true }; // http, on loopback

await run((settings) => {
  const client = { client_id: settings.client_id };
  const proof = settings.client_secret === null ? oauth.None() : oauth.ClientSecretBasic(settings.client_secret);
  const guard = { client_id: settings.resource_server_id };
  const guardProof = oauth.ClientSecretBasic(settings.resource_server_secret);
  let server;
  return {
    randomState: oauth.generateRandomState,
    randomVerifier: oauth.generateRandomCodeVerifier,

    async discover() {
      const issuer = new URL(settings.issuer);
      const response = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...PLAIN });
      server = await oauth.processDiscoveryResponse(issuer, response);
      return server;
    },

    async request(state, verifier) {
      const url = new URL(server.authorization_endpoint);
      url.search = new URLSearchParams({
        response_type: 'code',
        client_id: settings.client_id,
        redirect_uri: settings.redirect_uri,
        scope: settings.scope,
        state,
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      });
      return url;
    },

    async exchange(callback, state, verifier) {
      const params = oauth.validateAuthResponse(server, client, callback, state);
      const response = await oauth.authorizationCodeGrantRequest(server, client, proof, params, settings.redirect_uri, verifier, PLAIN);
      return oauth.processAuthorizationCodeResponse(server, client, response);
    },

    async refresh(token) {
      const response = await oauth.refreshTokenGrantRequest(server, client, proof, token, PLAIN);
      return oauth.processRefreshTokenResponse(server, client, response);
    },

    async introspect(token) {
      const response = await oauth.introspectionRequest(server, guard, guardProof, token, PLAIN);
      return oauth.processIntrospectionResponse(server, guard, response);
    },

    async validate(token) {
      const request = new Request(settings.audience, { headers: { authorization: `Bearer ${token}` } });
      return oauth.validateJwtAccessToken(server, request, settings.audience, { ...PLAIN });
    },

    async revoke(token, hint) {
      const options = { additionalParameters: { token_type_hint: hint }, ...PLAIN };
      await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, proof, token, options));
    },
  };
});
