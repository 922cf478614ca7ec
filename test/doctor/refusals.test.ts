/** What a refusal is taken to mean: what the token itself says counts before words, and words before a guess. */

import { expect, test } from "vitest";
import { explain } from "../../src/doctor/refusals.ts";
import type { Claims } from "../../src/servicetitan/claims.ts";
import type { Target } from "../../src/servicetitan/client.ts";

const TARGET: Target = {
  name: "acme",
  tenant: "1234567",
  provider: "waypost",
  appKey: "key",
  clientId: "client",
  clientSecret: "secret",
  apiUrl: "https://api.servicetitan.io",
  authUrl: "https://auth.servicetitan.io",
  requestTimeoutMs: 1000,
};
const CLAIMS: Claims = { scopes: ["tn.dis.gpspings:w"], tenant: "1234567", issuer: "auth.servicetitan.io" };

function meaningOf(status: number, words: string, claims: Partial<Claims> = {}) {
  const found = explain({ status, words: `HTTP ${status}: ${words}` }, TARGET, { ...CLAIMS, ...claims });
  return found === null ? "let through" : `${found.kind}: ${found.says}`;
}

test.each<[number, string, Partial<Claims>, RegExp]>([
  [
    401,
    "Unauthorized",
    { issuer: "auth-integration.servicetitan.io" },
    /^wrong_environment: .*are of integration/,
  ],
  [403, "Forbidden", { scopes: ["tn.crm.customers:r"] }, /^scope_missing: .*lacks the scope/],
  [404, "Not found", { tenant: "7" }, /^wrong_client: The client belongs to tenant 7/],
])("%i %s, and the token tells why", (status, words, claims, meaning) => {
  expect(meaningOf(status, words, claims)).toMatch(meaning);
});

test.each([
  [401, "Access denied due to invalid subscription key.", /^app_key_wrong/],
  [404, "Unable to match incoming request to an operation.", /^tenant_unknown/],
  [403, "gps_provider: The provider is not known.", /^provider_not_connected/],
  [400, "The GPS provider is inactive.", /^provider_inactive/],
])("%i %s names its cause", (status, words, meaning) => {
  expect(meaningOf(status, words)).toMatch(meaning);
});

test.each([
  [401, /^call_refused: .*app key is wrong; the credentials are of another environment/],
  [403, /^call_refused: .*newest version; the provider's name is wrong.*; the provider is not activated/],
  [
    404,
    /^call_refused: .*the tenant is not connected.*; the provider's name is wrong.*; the provider is not/,
  ],
  [410, /^call_refused: .*something this version does not know/],
])("%i without a word can mean each of its causes", (status, meaning) => {
  expect(meaningOf(status, "")).toMatch(meaning);
});

test("403 is not for lack of a scope that the token has", () => {
  expect(meaningOf(403, "")).not.toContain("scope");
  expect(meaningOf(403, "", { scopes: null })).toContain("scope");
});

test("400 that names none of them is about a request without pings", () => {
  expect(meaningOf(400, "A non-empty request body is required.")).toBe("let through");
});
