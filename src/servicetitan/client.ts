/** Posts batches of pings to ServiceTitan: one attempt is one POST with one outcome, and nothing is retried here. */

import type { ProxySettings } from "../network.ts";
import { type Redact, redactor } from "./answer.ts";
import { createHttp, type Exchanged } from "./exchange.ts";
import { type Attempt, classify, type Outcome } from "./outcome.ts";
import { type Credential, createTokens, type Token } from "./token.ts";

/** Where and as whom to post. */
export interface Target extends Credential {
  name: string;
  tenant: string;
  provider: string;
  appKey: string;
  /** The API's base address; paths begin after it. */
  apiUrl: string;
  requestTimeoutMs: number;
}

/** Everything a POST needs beside its body, so that it can be sent at once when its throttle slot is acquired. */
export interface Prepared {
  readonly token: Token;
  /** The token has carried a request before. */
  readonly tokenWasCached: boolean;
}

export interface Sending {
  /** Shorter than the target's own where it matters more to know soon that no answer comes. */
  timeoutMs?: number;
  /** Called right before the request is sent; false stops it. */
  beforeSend?: () => boolean;
}

export interface Client {
  /** Gets a token. Without one it resolves with an attempt that says why; no POST was made. */
  prepare(target: Target): Promise<Prepared | Attempt>;
  /**
   * Posts `body`, a JSON array of the pings with these externalIds. Never rejects. When `beforeSend` returned false there
   * was no attempt, and the one returned has to be ignored.
   */
  send(
    target: Target,
    prepared: Prepared,
    body: string,
    externalIds: readonly string[],
    how?: Sending,
  ): Promise<Attempt>;
  /** Drops a token that was refused, so that the next `prepare` gets a fresh one. */
  renew(target: Target, prepared: Prepared): void;
  /** Lets requests under way end. */
  close(): Promise<void>;
}

export interface ClientOptions {
  proxy: ProxySettings;
}

/** ServiceTitan's hosts. Client id, secret and token belong to one environment; the app key to both. */
export function servicetitanUrls(environment: "production" | "integration"): {
  apiUrl: string;
  authUrl: string;
} {
  const suffix = environment === "integration" ? "-integration" : "";
  return {
    apiUrl: `https://api${suffix}.servicetitan.io`,
    authUrl: `https://auth${suffix}.servicetitan.io`,
  };
}

export function createClient({ proxy }: ClientOptions): Client {
  const http = createHttp(proxy);
  const tokens = createTokens({ http });
  // Computed once per target: while a backlog drains, every microsecond counts.
  const addresses = new WeakMap<Target, Address>();
  const sent = new WeakSet<Token>();

  async function prepare(target: Target): Promise<Prepared | Attempt> {
    const result = await tokens.get(target, target.requestTimeoutMs);
    switch (result.kind) {
      case "token":
        return { token: result.token, tokenWasCached: sent.has(result.token) };
      case "unavailable":
        return tokenless(
          { kind: "unavailable", reason: "token_unavailable", afterMs: result.afterMs },
          result.detail,
        );
      case "refused":
        return tokenless({ kind: "blocked", reason: "credentials_refused" }, result.detail);
      default:
        return result satisfies never;
    }
  }

  async function send(
    target: Target,
    { token, tokenWasCached }: Prepared,
    body: string,
    externalIds: readonly string[],
    { timeoutMs = target.requestTimeoutMs, beforeSend = () => true }: Sending = {},
  ): Promise<Attempt> {
    sent.add(token);
    const { origin, path } = addressOf(target);
    const exchanged = await http.exchange({
      origin,
      path,
      headers: headersOf(target, token.value),
      body,
      timeoutMs,
      beforeSend,
    });
    return { ...outcomeOf(exchanged, externalIds, target, token), tookMs: exchanged.tookMs, tokenWasCached };
  }

  function outcomeOf(exchanged: Exchanged, externalIds: readonly string[], target: Target, token: Token) {
    if (exchanged.kind === "failed") {
      const { reason, code, status } = exchanged;
      const outcome: Outcome = { kind: "unavailable", reason, afterMs: null };
      const detail = status === null ? `no answer (${code})` : `HTTP ${status}, cut off (${code})`;
      return { outcome, status, traceId: null, detail };
    }
    const { answer } = exchanged;
    // Built when first needed: most answers have nothing to redact.
    let redact: Redact | null = null;
    const context = {
      now: Date.now(),
      redact: (text: string) => {
        redact ??= redactor([token.value, target.clientSecret, target.clientId, target.appKey]);
        return redact(text);
      },
    };
    return { ...classify(answer, externalIds, context), status: answer.status };
  }

  function addressOf(target: Target): Address {
    let address = addresses.get(target);
    if (address === undefined) {
      address = addressFrom(target);
      addresses.set(target, address);
    }
    return address;
  }

  return {
    prepare,
    send,
    renew: (target, { token }) => tokens.invalidate(target, token),
    close: () => http.close(),
  };
}

/** Where pings of the target go. */
export interface Address {
  origin: string;
  path: string;
}

export function headersOf({ appKey }: Target, token: string): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    "st-app-key": appKey,
    "content-type": "application/json",
    accept: "application/json",
  };
}

export function addressFrom({ apiUrl, tenant, provider }: Target): Address {
  const { origin, pathname } = new URL(apiUrl);
  const base = pathname.replace(/\/$/, "");
  const [t, p] = [encodeURIComponent(tenant), encodeURIComponent(provider)];
  return { origin, path: `${base}/dispatch/v2/tenant/${t}/gps-provider/${p}/gps-pings` };
}

function tokenless(outcome: Outcome, detail: string): Attempt {
  return { outcome, status: null, tookMs: 0, traceId: null, detail, tokenWasCached: false };
}
