// Rescind as the library simple-oauth2 sees it: exchanges a code, refreshes, and revokes both tokens with `revokeAll`.
//   node simple-oauth2.mjs '{"issuer":"http://127.0.0.1:8080","client_id":…,"client_secret":…,"code":…,"redirect_uri":…,"code_verifier":…}'
// Prints the tokens that it has revoked.

import { AuthorizationCode } from 'simple-oauth2';

const { issuer, client_id, client_secret, ...code } = JSON.parse(process.argv[2]);
const client = new AuthorizationCode({
  client: { id: client_id, secret: client_secret },
  auth: { tokenHost: issuer, tokenPath: '/oauth/token', revokePath: '/oauth/revoke' },
});
const first = await client.getToken(code);
const tokens = await first.refresh();
await tokens.revokeAll();
process.stdout.write(JSON.stringify(tokens.token));
