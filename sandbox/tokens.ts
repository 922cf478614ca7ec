/** Issues and checks the bearer tokens of the stand-in's OAuth endpoint. */

import { randomBytes, timingSafeEqual } from "node:crypto";

/** The scope that lets an app push pings. */
export const GPS_PINGS_SCOPE = "tn.dis.gpspings:w";

/** One registered app connection: what the developer portal and the tenant's admin set up in the real service. */
export interface SandboxClient {
  clientId: string;
  clientSecret: string;
  appKey: string;
  /** Numeric tenant ids the app is connected to. */
  tenants: readonly string[];
  /** The `gps_provider` names the app was connected for. */
  providers: readonly string[];
  /** Default: the scope that pings need. */
  scopes?: readonly string[];
}

/** The OAuth error codes the endpoint answers with, always under status 400. */
export type TokenError = "invalid_request" | "unsupported_grant_type" | "invalid_client" | "invalid_scope";

export interface TokenAnswer {
  access_token: string;
  expires_in: number;
  token_type: "Bearer";
  scope: string;
}

export interface Tokens {
  /** `scopes`: instead of the client's. */
  request(
    form: URLSearchParams,
    scopes?: readonly string[],
  ): { kind: "issued"; answer: TokenAnswer } | { kind: "refused"; error: TokenError };
  /** The client a token was issued to; null when unknown, expired or revoked. */
  holder(token: string): SandboxClient | null;
  revokeAll(): void;
}

export function createTokens(clients: readonly SandboxClient[], ttlS: number): Tokens {
  const issued = new Map<string, { client: SandboxClient; expiresAtMs: number }>();

  function request(form: URLSearchParams, given?: readonly string[]): ReturnType<Tokens["request"]> {
    const grant = form.get("grant_type");
    if (grant === null) return { kind: "refused", error: "invalid_request" };
    if (grant !== "client_credentials") return { kind: "refused", error: "unsupported_grant_type" };
    const client = clients.find((each) => each.clientId === form.get("client_id"));
    if (client === undefined || !same(client.clientSecret, form.get("client_secret") ?? "")) {
      return { kind: "refused", error: "invalid_client" };
    }
    const scopes = given ?? client.scopes ?? [GPS_PINGS_SCOPE];
    const asked = (form.get("scope") ?? "").split(" ").filter((scope) => scope !== "");
    if (asked.some((scope) => !scopes.includes(scope))) return { kind: "refused", error: "invalid_scope" };
    forgetExpired();
    const token = tokenFor(client, scopes, ttlS);
    issued.set(token, { client: { ...client, scopes }, expiresAtMs: performance.now() + ttlS * 1000 });
    return {
      kind: "issued",
      answer: { access_token: token, expires_in: ttlS, token_type: "Bearer", scope: scopes.join(" ") },
    };
  }

  function holder(token: string): SandboxClient | null {
    const known = issued.get(token);
    return known !== undefined && performance.now() < known.expiresAtMs ? known.client : null;
  }

  /** Tokens have one lifetime, so the oldest expire first and the search ends at the first live one. */
  function forgetExpired(): void {
    for (const [token, { expiresAtMs }] of issued) {
      if (performance.now() < expiresAtMs) return;
      issued.delete(token);
    }
  }

  return { request, holder, revokeAll: () => issued.clear() };
}

/** In the documented form: a JSON Web Token (`at+jwt`), whose signature nobody here can check. */
function tokenFor({ clientId, tenants }: SandboxClient, scope: readonly string[], ttlS: number): string {
  const iat = Math.floor(Date.now() / 1000);
  const [tenant] = tenants;
  const claims = {
    iss: ISSUER,
    client_id: clientId,
    // Documented for a client of one tenant only.
    ...(tenants.length === 1 ? { tenant } : {}),
    ...{ scope, iat, nbf: iat, exp: iat + ttlS },
  };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signature = randomBytes(32).toString("base64url");
  return `${part({ alg: "RS256", typ: "at+jwt" })}.${part(claims)}.${signature}`;
}

/** Of no environment of ServiceTitan. */
const ISSUER = "https://auth.sandbox.example";

function same(expected: string, given: string): boolean {
  const a = Buffer.from(expected);
  const b = Buffer.from(given);
  return a.length === b.length && timingSafeEqual(a, b);
}
