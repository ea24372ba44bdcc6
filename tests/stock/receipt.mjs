// Checks a signed receipt as docs/receipts.md says, and prints it: receipt.mjs ISSUER FILE.

import { readFile } from 'node:fs/promises';
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto; // Node 18 has it, but not as a global.
const { compactVerify, createRemoteJWKSet } = await import('jose');

const [issuer, file] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL('/oauth/jwks', issuer));
const { payload, protectedHeader } = await compactVerify(await readFile(file, 'utf8'), keys, {
  algorithms: ['EdDSA', 'ES256'],
});
if (protectedHeader.typ !== 'receipt+jws') throw new Error(`typ is ${protectedHeader.typ}`);
const receipt = JSON.parse(new TextDecoder().decode(payload));
if (receipt.iss !== issuer) throw new Error(`iss is ${receipt.iss}`);
process.stdout.write(JSON.stringify(receipt));
