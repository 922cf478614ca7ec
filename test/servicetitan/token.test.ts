import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createHttp, type Http } from "../../src/servicetitan/exchange.ts";
import { createTokens, type TokenResult, type Tokens } from "../../src/servicetitan/token.ts";
import { scaled } from "../support/speed.ts";
import { type Api, json, plain, startApi, tokensOf } from "./api.ts";

const TIMEOUT_MS = 15_000;
const START = Date.UTC(2026, 10, 20, 12, 0, 0);

let api: Api;
let http: Http;
let tokens: Tokens;
/** The clock of the tokens: the test turns it. */
let at: number;

beforeEach(async () => {
  api = await startApi();
  http = createHttp({ httpProxy: null, httpsProxy: null, noProxy: "" });
  at = START;
  tokens = createTokens({ http, now: () => at });
});
afterEach(async () => {
  await api.close();
  await http.close();
});

const get = (changes = {}) => tokens.get(api.target(changes), TIMEOUT_MS);
function tokenOf(result: TokenResult) {
  if (result.kind !== "token") throw new Error(`No token: ${result.detail}`);
  return result.token;
}
const value = async (changes = {}) => tokenOf(await get(changes)).value;

describe("a token", () => {
  test("is fetched once for a hundred callers at once", async () => {
    const values = await Promise.all(Array.from({ length: 100 }, () => value()));
    expect(new Set(values)).toEqual(new Set(["token-1"]));
    expect(api.tokenRequests).toHaveLength(1);
  });

  test("belongs to one credential: address, client and secret", async () => {
    expect(await value()).toBe("token-1");
    expect(await value({ clientId: "cid.other" })).toBe("token-2");
    expect(await value({ clientSecret: "cs1.other" })).toBe("token-3");
    expect(await value({ authUrl: `${api.url}/other` })).toBe("token-4");
    expect(await value({ tenant: "9", appKey: "ak1.other", apiUrl: "http://other" })).toBe("token-1");
    expect(api.tokenRequests).toHaveLength(4);
  });

  test("is renewed between 75 and 85 % of its life, while it is still used", async () => {
    await get();
    at = START + 0.74 * 900_000;
    expect(await value()).toBe("token-1");
    expect(api.tokenRequests).toHaveLength(1);
    at = START + 0.86 * 900_000;
    expect(await value()).toBe("token-1");
    await expect.poll(() => value(), { timeout: scaled(15_000) }).toBe("token-2");
    expect(api.tokenRequests).toHaveLength(2);
  });

  test("draws the moment of its renewal", async () => {
    const moments = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => tokenOf(await get({ clientId: `cid.${i}` })).refreshAt),
    );
    expect(new Set(moments).size).toBeGreaterThan(10);
  });

  test("is never used in its last 30 seconds", async () => {
    await get();
    api.onToken(plain(503, ""));
    at = START + 869_999;
    expect(await value()).toBe("token-1");
    // The renewal that this started fails; the next caller is told so.
    await expect.poll(() => api.tokenRequests.length, { timeout: scaled(15_000) }).toBe(2);
    at = START + 870_000;
    expect((await get()).kind).toBe("unavailable");
  });

  test("outlives failed renewals", async () => {
    await get();
    api.onToken(plain(500, ""));
    for (const [i, share] of [0.86, 0.9, 0.94].entries()) {
      at = START + share * 900_000;
      const requests = async () => {
        expect(await value()).toBe("token-1");
        return api.tokenRequests.length;
      };
      await expect.poll(requests, { timeout: scaled(15_000) }).toBe(2 + i);
    }
    api.onToken(json(200, { access_token: "fresh", expires_in: 900 }));
    at = START + 0.96 * 900_000;
    await expect.poll(() => value(), { timeout: scaled(15_000) }).toBe("fresh");
  });

  test("with a short life is used for three quarters of it", async () => {
    api.onToken(tokensOf(4));
    expect(await value()).toBe("token-1");
    at = START + 2999;
    expect(await value()).toBe("token-1");
    at = START + 3000;
    expect(await value()).toBe("token-2");
  });

  test.each([[{}], [{ expires_in: -1 }], [{ expires_in: "soon" }], [{ expires_in: null }]])(
    "that does not say how long it lives (%j) is used for some minutes",
    async (life) => {
      api.onToken(json(200, { access_token: "t", ...life }));
      const { unusableAt } = tokenOf(await get());
      expect(unusableAt).toBe(START + 270_000);
    },
  );

  test("that was turned down is replaced; a late word about it changes nothing", async () => {
    const first = tokenOf(await get());
    tokens.invalidate(api.target(), first);
    const second = tokenOf(await get());
    expect(second.value).toBe("token-2");
    tokens.invalidate(api.target(), first);
    expect(tokenOf(await get())).toBe(second);
    expect(api.tokenRequests).toHaveLength(2);
  });
});

describe("no token", () => {
  test.each([
    [503, "down", "unavailable", "cannot serve now (HTTP 503)"],
    [500, "", "unavailable", "cannot serve now (HTTP 500)"],
    [429, "", "unavailable", "cannot serve now (HTTP 429)"],
    [408, "", "unavailable", "cannot serve now (HTTP 408)"],
    [
      400,
      '{"error":"temporarily_unavailable"}',
      "unavailable",
      "cannot serve now (temporarily_unavailable, HTTP 400)",
    ],
    [200, "<html>", "unavailable", "answered 200 without a usable token"],
    [200, '{"access_token":""}', "unavailable", "answered 200 without a usable token"],
    [200, '{"access_token":"two\\r\\nlines"}', "unavailable", "answered 200 without a usable token"],
    [200, '{"access_token":7}', "unavailable", "answered 200 without a usable token"],
    [400, '{"error":"invalid_client"}', "refused", "refused the credentials (invalid_client, HTTP 400)"],
    [
      401,
      '{"error":"unauthorized_client"}',
      "refused",
      "refused the credentials (unauthorized_client, HTTP 401)",
    ],
    [400, '{"error":"cid.client-of-the-test"}', "refused", "refused the credentials (HTTP 400)"],
    [400, "cid.client-of-the-test is unknown", "refused", "refused the credentials (HTTP 400)"],
    [403, "", "refused", "refused the credentials (HTTP 403)"],
    [404, "", "refused", "refused the credentials (HTTP 404)"],
    [302, "", "refused", "refused the credentials (HTTP 302)"],
  ])("after %i %s: %s", async (status, body, kind, detail) => {
    api.onToken(plain(status, body));
    expect(await get()).toEqual({
      kind,
      detail: `The token endpoint ${detail}.`,
      afterMs: expect.any(Number),
    });
  });

  test("after a reset or a hang is unavailable", async () => {
    api.onToken((response) => response.socket?.resetAndDestroy());
    expect(await get()).toMatchObject({ kind: "unavailable", detail: expect.stringContaining("no answer") });
    api.onToken(() => {});
    expect(await tokens.get(api.target({ clientId: "cid.2" }), 200)).toMatchObject({
      kind: "unavailable",
      detail: "The token endpoint gave no answer (deadline).",
    });
  });

  test("is remembered for a while that grows, instead of asking again", async () => {
    api.onToken(json(400, { error: "invalid_client" }));
    const waits: number[] = [];
    for (let asked = 1; asked <= 8; asked++) {
      const result = await get();
      expect(api.tokenRequests).toHaveLength(asked);
      if (result.kind === "token") throw new Error("a token in spite of all");
      waits.push(result.afterMs);
      at += result.afterMs - 1;
      expect(await get()).toMatchObject({ kind: "refused", afterMs: 1 });
      expect(api.tokenRequests).toHaveLength(asked);
      at += 1;
    }
    for (const [i, wait] of waits.entries()) {
      const most = Math.min(1000 * 2 ** i, 30_000);
      expect(wait).toBeGreaterThanOrEqual(most / 2);
      expect(wait).toBeLessThanOrEqual(most);
    }
    api.onToken(tokensOf(900));
    expect(await value()).toBe("token-1");
  });

  test("as long as the endpoint asks to be left alone", async () => {
    api.onToken(plain(429, "", { "retry-after": "120" }));
    expect(await get()).toMatchObject({ kind: "unavailable", afterMs: 120_000 });
    at += 119_999;
    expect(await get()).toMatchObject({ kind: "unavailable", afterMs: 1 });
    expect(api.tokenRequests).toHaveLength(1);
  });

  test("for one credential leaves the others alone", async () => {
    api.onToken((response, seen) =>
      (seen.body.includes("cid.bad") ? json(400, { error: "invalid_client" }) : tokensOf(900))(
        response,
        seen,
      ),
    );
    expect((await get({ clientId: "cid.bad" })).kind).toBe("refused");
    expect((await get()).kind).toBe("token");
  });
});
