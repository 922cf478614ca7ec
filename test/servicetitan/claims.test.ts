/** What a token says of itself, in the documented form and in none. */

import { expect, test } from "vitest";
import { claimsOf } from "../../src/servicetitan/claims.ts";

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const tokenOf = (claims: unknown) => `${part({ alg: "RS256", typ: "at+jwt" })}.${part(claims)}.c2lnbmF0dXJl`;

test.each([
  [
    "the documented form",
    tokenOf({ iss: "https://auth.servicetitan.io", tenant: 1234567, scope: ["tn.dis.gpspings:w"] }),
    {},
    { scopes: ["tn.dis.gpspings:w"], tenant: "1234567", issuer: "auth.servicetitan.io" },
  ],
  [
    "scopes in one text, and an issuer that is no address",
    tokenOf({ iss: "titan", tenant: "7", scope: "a b" }),
    {},
    { scopes: ["a", "b"], tenant: "7", issuer: null },
  ],
  [
    "an opaque token, beside which the answer names the scopes",
    "opaque",
    { scope: "tn.dis.gpspings:w x" },
    { scopes: ["tn.dis.gpspings:w", "x"], tenant: null, issuer: null },
  ],
  ["claims that are none", tokenOf([1]), {}, { scopes: null, tenant: null, issuer: null }],
  ["nothing", "", {}, { scopes: null, tenant: null, issuer: null }],
])("%s", (_, token, answer, claims) => {
  expect(claimsOf(token, answer)).toEqual(claims);
});
