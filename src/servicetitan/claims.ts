/** Reads what an access token says of itself. Nothing is proved by it: it only explains why a request was refused. */

import { isRecord } from "../untrusted.ts";
import { parseJson } from "./answer.ts";

/** The scope that a request with pings needs. */
export const PINGS_SCOPE = "tn.dis.gpspings:w";

export interface Claims {
  /** Null where the token does not say. */
  scopes: readonly string[] | null;
  /** The tenant that the client is registered for. */
  tenant: string | null;
  /** The host that issued the token. */
  issuer: string | null;
}

/** `answer` is the body of the token endpoint's answer; its `scope` counts where the token itself cannot be read. */
export function claimsOf(token: string, answer: Record<string, unknown>): Claims {
  const payload = payloadOf(token);
  return {
    scopes: scopesOf(payload.scope) ?? scopesOf(answer.scope),
    tenant: textOf(payload.tenant),
    issuer: hostOf(textOf(payload.iss)),
  };
}

/** A JSON Web Token is three parts in base64url; the second holds the claims. */
function payloadOf(token: string): Record<string, unknown> {
  const json = parseJson(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  return isRecord(json) ? json : {};
}

function scopesOf(value: unknown): readonly string[] | null {
  if (typeof value === "string") return value.split(" ").filter((scope) => scope !== "");
  return Array.isArray(value) ? value.filter((scope) => typeof scope === "string") : null;
}

function textOf(value: unknown): string | null {
  return typeof value === "number" ? String(value) : typeof value === "string" && value !== "" ? value : null;
}

function hostOf(url: string | null): string | null {
  return url !== null && URL.canParse(url) ? new URL(url).host : null;
}
