/** The proofs, against values computed elsewhere and against senders who guess. */

import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Credentials, Message } from "../../../src/adapters/kit/adapter.ts";
import * as auth from "../../../src/adapters/kit/auth.ts";
import { parseRange } from "../../../src/addresses.ts";

const { addressList, basic, bearer, bodyToken, customHeader, hmac, hmacWithTime, sharedKey, urlToken } = auth;

function message(parts: Partial<Message> = {}): Message {
  return {
    body: new Uint8Array(),
    receivedAt: 0,
    method: "POST",
    headers: {},
    query: {},
    retained: false,
    ...parts,
  };
}
const withHeader = (name: string, value: string) => message({ headers: { [name]: value } });

describe("shared secrets in headers", () => {
  it("compares the bytes on the wire, also of secrets beyond ASCII", () => {
    // Node gives header values as one character for each byte.
    const wire = Buffer.from("schlüssel").toString("latin1");
    expect(sharedKey("X-Key").verify(withHeader("x-key", wire), { secrets: ["schlüssel"] })).toBeNull();
    expect(sharedKey("X-Key").verify(withHeader("x-key", "schlussel"), { secrets: ["schlüssel"] })).toBe(
      "wrong_credentials",
    );
  });

  it("accepts the bare key, not one with a scheme", () => {
    expect(sharedKey("X-Key").verify(withHeader("x-key", "Bearer s"), { secrets: ["s"] })).toBe(
      "wrong_credentials",
    );
  });

  it("reads the scheme of a bearer token in any case, and nothing but that scheme", () => {
    for (const given of ["Bearer s", "bearer s", "BEARER  s"]) {
      expect(bearer().verify(withHeader("authorization", given), { secrets: ["s"] })).toBeNull();
    }
    for (const given of ["s", "Basic s", "Bearer", "Bearer ", "Bearers", ""]) {
      expect(bearer().verify(withHeader("authorization", given), { secrets: ["s"] })).toBe(
        "missing_credentials",
      );
    }
  });

  it("needs the name of the header that the customer chose", () => {
    const given = withHeader("x-mine", "s");
    expect(customHeader().verify(given, { secrets: ["s"], header: "X-Mine" })).toBeNull();
    expect(customHeader().verify(given, { secrets: ["s"] })).toBe("missing_credentials");
  });

  it("reads user and password of RFC 7617's own examples", () => {
    const aladdin = withHeader("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    expect(basic().verify(aladdin, { username: "Aladdin", secrets: ["open sesame"] })).toBeNull();
    expect(basic().verify(aladdin, { username: "aladdin", secrets: ["open sesame"] })).toBe(
      "wrong_credentials",
    );
    expect(basic().verify(aladdin, { secrets: ["open sesame"] })).toBe("wrong_credentials");
    const pound = withHeader("authorization", "Basic dGVzdDoxMjPCow==");
    expect(basic().verify(pound, { username: "test", secrets: ["123£"] })).toBeNull();
  });

  it("does not confuse where the user ends", () => {
    const given = withHeader("authorization", `Basic ${Buffer.from("a:b:c").toString("base64")}`);
    expect(basic().verify(given, { username: "a", secrets: ["b:c"] })).toBeNull();
    expect(basic().verify(given, { username: "a", secrets: ["b"] })).toBe("wrong_credentials");
    const empty = withHeader("authorization", `Basic ${Buffer.from("a:").toString("base64")}`);
    expect(basic().verify(empty, { username: "a", secrets: [""] })).toBe("wrong_credentials");
  });
});

describe("hmac", () => {
  const body = Buffer.from("what do ya want for nothing?");

  it("agrees with RFC 2202 and RFC 4231, test case 2", () => {
    const sha1 = hmac({ algorithm: "sha1", header: "X-Sig", encoding: "hex" });
    const sha256 = hmac({ algorithm: "sha256", header: "X-Sig", encoding: "hex" });
    const over = (signature: string) => message({ body, headers: { "x-sig": signature } });
    expect(sha1.verify(over("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"), { secrets: ["Jefe"] })).toBeNull();
    const long = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    expect(sha256.verify(over(long), { secrets: ["Jefe"] })).toBeNull();
    expect(sha256.verify(over(long.toUpperCase()), { secrets: ["Jefe"] })).toBeNull();
    for (const wrong of [long.slice(0, -1), `${long}0`, `0x${long}`, long.replace("5b", "5c"), ` ${long}`]) {
      expect(sha256.verify(over(wrong), { secrets: ["Jefe"] })).toBe("wrong_credentials");
    }
  });

  it("agrees with the two signatures Motive publishes", () => {
    const authMethod = hmac({ algorithm: "sha1", header: "X-KT-Webhook-Signature", encoding: "hex" });
    const over = (text: string, signature: string) =>
      message({ body: Buffer.from(text), headers: { "x-kt-webhook-signature": signature } });
    const actions = over('["fault_code_closed"]', "f04a8386a21a6cba0447024e83b3f0983352bb72");
    expect(authMethod.verify(actions, { secrets: ["d9d36bea41c44ae49d1bfc4a48ba2abe"] })).toBeNull();
    const test = over('{"action":"test"}', "5e1a966298ba4f3e91847aea8746198ca0530dd2");
    expect(authMethod.verify(test, { secrets: ["8cbd43f98ba1e33c28c9"] })).toBeNull();
  });

  it("reads base64, and a prefix where there is one", () => {
    const signature = createHmac("sha256", "k").update(body).digest("base64");
    const authMethod = hmac({ algorithm: "sha256", header: "X-Sig", encoding: "base64", prefix: "sha256=" });
    expect(
      authMethod.verify(message({ body, headers: { "x-sig": `sha256=${signature}` } }), { secrets: ["k"] }),
    ).toBeNull();
    expect(authMethod.verify(message({ body, headers: { "x-sig": signature } }), { secrets: ["k"] })).toBe(
      "wrong_credentials",
    );
  });

  it("does not prove a GET, whose values are in the query", () => {
    const authMethod = hmac({ algorithm: "sha256", encoding: "hex" });
    const signature = createHmac("sha256", "k").update("").digest("hex");
    const get = message({ method: "GET", headers: { "x-sig": signature }, query: { latitude: "1" } });
    expect(authMethod.verify(get, { secrets: ["k"], header: "X-Sig" })).toBe("unsigned_query");
    expect(authMethod.verify({ ...get, method: "POST" }, { secrets: ["k"], header: "X-Sig" })).toBeNull();
  });
});

describe("hmac with time", () => {
  const authMethod = hmacWithTime({ version: "v1", signatureHeader: "X-Sig", timestampHeader: "X-Time" });

  it("reports beforehand that a secret which is not base64 cannot authenticate", () => {
    for (const secret of ["b2xkLXNlY3JldC0xMg==", "c2VjcmV0"])
      expect(authMethod.secretProblem?.(secret)).toBeNull();
    for (const secret of ["test-secret", "c2VjcmV0==", "c2VjcmV0 ", "c2VjcmV", "-_-_", "=", " "]) {
      const problem = authMethod.secretProblem?.(secret) ?? "";
      expect(problem, secret).toContain("must be base64");
      if (secret.length > 1) expect(problem).not.toContain(secret);
    }
  });
  const body = Buffer.from('{"eventType":"Ping"}');
  const [old, current] = ["b2xkLXNlY3JldC0xMg==", "bmV3LXNlY3JldC0zNA=="];
  // printf 'v1:1793020800:{"eventType":"Ping"}' | openssl dgst -sha256 -hmac old-secret-12
  const signature = "7d49d5ce817e25b5b73b8d478cf9c1e7675a792d6452b880c558568155e5c5a0";
  const SIGNED_AT = 1_793_020_800_000;
  const sent = (parts: { signature?: string; timestamp?: string; receivedAt?: number; body?: Buffer } = {}) =>
    message({
      body: parts.body ?? body,
      receivedAt: parts.receivedAt ?? SIGNED_AT,
      headers: { "x-sig": parts.signature ?? `v1=${signature}`, "x-time": parts.timestamp ?? "1793020800" },
    });

  it("agrees with a signature made by another program, under either of two secrets", () => {
    for (const secrets of [[old], [current, old], [old, current]])
      expect(authMethod.verify(sent(), { secrets })).toBeNull();
    expect(
      authMethod.verify(sent({ signature: `v1=${signature.toUpperCase()}` }), { secrets: [old] }),
    ).toBeNull();
    expect(authMethod.verify(sent(), { secrets: [current] })).toBe("wrong_credentials");
  });

  it("holds for 300 seconds before and after it was signed, and no longer", () => {
    for (const offsetMs of [-300_000, 0, 300_000])
      expect(authMethod.verify(sent({ receivedAt: SIGNED_AT + offsetMs }), { secrets: [old] })).toBeNull();
    for (const offsetMs of [-300_001, 300_001, 86_400_000])
      expect(authMethod.verify(sent({ receivedAt: SIGNED_AT + offsetMs }), { secrets: [old] })).toBe(
        "stale_signature",
      );
  });

  it("covers the time: a replay cannot be given a new one", () => {
    const receivedAt = SIGNED_AT + 600_000;
    expect(authMethod.verify(sent({ receivedAt, timestamp: "1793021400" }), { secrets: [old] })).toBe(
      "wrong_credentials",
    );
  });

  it.each(["", " 1793020800", "1793020800.0", "+1793020800", "1e9", "179302080000000000000", "NaN"])(
    "does not take %j for a time",
    (timestamp) => {
      const content = Buffer.concat([Buffer.from(`v1:${timestamp}:`), body]);
      const given = createHmac("sha256", "old-secret-12").update(content).digest("hex");
      const refused = authMethod.verify(sent({ timestamp, signature: `v1=${given}` }), { secrets: [old] });
      expect(refused).toBe(timestamp === "" ? "missing_credentials" : "wrong_credentials");
    },
  );

  it("wants the version, and every byte", () => {
    const altered = [signature, `v2=${signature}`, `v1=${signature}0`, `v1=${signature.slice(1)}`, "v1="];
    for (const given of altered)
      expect(authMethod.verify(sent({ signature: given }), { secrets: [old] })).toBe("wrong_credentials");
    const longer = Buffer.concat([body, Buffer.from(" ")]);
    expect(authMethod.verify(sent({ body: longer }), { secrets: [old] })).toBe("wrong_credentials");
  });

  it("does not make a key of a secret that is not base64, or of nothing", () => {
    const keys: [string, string][] = [
      ["", ""],
      ["====", ""],
      ["old secret", "old secret"],
      ["b2xkLXNlY3JldC0xMg", "old-secret-12"],
    ];
    for (const [secret, key] of keys) {
      const content = Buffer.concat([Buffer.from("v1:1793020800:"), body]);
      const given = `v1=${createHmac("sha256", key).update(content).digest("hex")}`;
      expect(authMethod.verify(sent({ signature: given }), { secrets: [secret] })).toBe("wrong_credentials");
    }
  });
});

describe("url token", () => {
  it("compares the decoded parameter", () => {
    expect(urlToken().verify(message({ query: { token: "a b&c" } }), { secrets: ["a b&c"] })).toBeNull();
    expect(urlToken().verify(message({ query: { Token: "s" } }), { secrets: ["s"] })).toBe(
      "missing_credentials",
    );
  });
});

it("a token of the body is taken out of what is stored, and nothing else is changed", () => {
  const secrets = ['ours & "only"', "the-next-one"];
  const stored = (text: string) => {
    const body = bodyToken("token").withoutSecret?.(Buffer.from(text), { secrets });
    return Buffer.from(body ?? []).toString();
  };
  const json = (token: string) => JSON.stringify({ a: "žluť", token, b: { token: "another" } });
  expect(stored(json(secrets[0] ?? ""))).toBe(json(""));
  expect(stored(json("another"))).toBe(json("another"));
  expect(stored(`token=${encodeURIComponent(secrets[0] ?? "")}&a=1`)).toBe("token=&a=1");
  expect(stored("a=1&token=the-next-one")).toBe("a=1&token=");
});

describe("body token", () => {
  const sent = (body: string) => message({ body: Buffer.from(body) });
  const verdict = (body: string, secret = "a+b c&d") =>
    bodyToken("token").verify(sent(body), { secrets: [secret] });

  it.each([
    "token=a%2Bb+c%26d&msgType=gps",
    "msgType=gps&token=a%2Bb%20c%26d",
    '{"token":"a+b c&d"}',
    ' [{"data_list":[],"token" : "a\\u002bb c&d"}]',
  ])("is read out of %s", (body) => {
    expect(verdict(body)).toBeNull();
    expect(verdict(body, "a+b c&e")).toBe("wrong_credentials");
  });

  it.each([
    "",
    "token=",
    "nottoken=a%2Bb+c%26d",
    "{}",
    '{"token":""}',
    '{"token":5}',
    '{"x":"token=a"}',
    `token=${"a".repeat(600)}`,
  ])("is missing in %s", (body) => {
    expect(verdict(body, "a")).toBe("missing_credentials");
  });

  it("takes no part of a token, and needs no longer for a body made to be slow", () => {
    expect(verdict("token=a", "a%2Bb")).toBe("wrong_credentials");
    expect(verdict('{"token":"a\\', "a")).toBe("missing_credentials");
    const startedAt = performance.now();
    for (const part of ["token=", '"token"', '{"token":"', "\\", '"token" '.padEnd(2000), "&token="])
      verdict(`{${part.repeat(1_000_000 / part.length)}`);
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });
});

describe("address list", () => {
  const from = (remoteAddress: string, ...allow: string[]) =>
    addressList().verify(message({ remoteAddress }), { secrets: [], allow });

  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["192.0.2.7", "192.0.2.0/24"],
    ["::ffff:192.0.2.7", "192.0.2.0/24"],
    ["10.1.2.3", "0.0.0.0/0"],
    ["2001:db8::1", "2001:db8::/32"],
    ["2001:db8:0:0::1", "2001:db8::1"],
  ])("lets %s in by %s", (address, range) => {
    expect(from(address, "203.0.113.1", range)).toBeNull();
  });

  it.each([
    ["192.0.3.7", "192.0.2.0/24"],
    ["2001:db9::1", "2001:db8::/32"],
    ["192.0.2.7", "::/0"],
    ["2001:db8::1", "0.0.0.0/0"],
    ["192.0.2.7", "192.0.2"],
    ["192.0.2.7", "192.0.2.0/33"],
  ])("keeps %s out by %s", (address, range) => {
    expect(from(address, range)).toBe("wrong_credentials");
  });

  it("refuses a message without an address", () => {
    expect(addressList().verify(message(), { secrets: [], allow: ["0.0.0.0/0"] })).toBe(
      "missing_credentials",
    );
    expect(from("localhost", "127.0.0.1")).toBe("missing_credentials");
    expect(from("127.0.0.1")).toBe("wrong_credentials");
  });

  it.each([
    "10.1",
    "0x0a.0.0.1",
    "010.0.0.1",
    "10.0.0.0/",
    "10.0.0.0/x",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "::/129",
    "host",
    "",
  ])("does not take %j for a range", (text) => {
    expect(parseRange(text)).toBeNull();
  });
});

describe("every method", () => {
  const authMethods = [
    ...[sharedKey("x-key"), customHeader(), bearer(), basic(), urlToken(), addressList(), bodyToken("token")],
    ...[
      hmac({ algorithm: "sha1", encoding: "hex" }),
      hmac({ algorithm: "sha256", encoding: "base64", prefix: "v1=" }),
      hmacWithTime({ version: "v1", signatureHeader: "X-Key", timestampHeader: "token" }),
    ],
  ];

  it("refuses unauthenticated messages and never throws, whatever they hold", () => {
    const names = fc.constantFrom("authorization", "x-key", "token", "__proto__", "constructor");
    const values = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string().map((text) => `Bearer ${text}`),
      fc.string().map((text) => `Basic ${text}`),
    );
    const texts = fc.dictionary(names, values);
    const credentials: Credentials = {
      secrets: ["4f9d0c7e5b1a"],
      username: "u",
      header: "X-Key",
      allow: ["192.0.2.1"],
    };
    fc.assert(
      fc.property(
        texts,
        texts,
        fc.uint8Array(),
        fc.option(fc.string(), { nil: undefined }),
        (headers, query, body, address) => {
          const sent = message({
            headers,
            query,
            body,
            ...(address === undefined ? {} : { remoteAddress: address }),
          });
          for (const authMethod of authMethods)
            expect(authMethod.verify(sent, credentials), authMethod.name).toMatch(/^[a-z_]+$/);
        },
      ),
    );
  });

  it("is not given by sending nothing where nothing is configured", () => {
    const nothing = message({ headers: { "x-key": "", authorization: "Basic Og==" }, query: { token: "" } });
    for (const authMethod of authMethods)
      expect(authMethod.verify(nothing, { secrets: ["", ""], username: "" }), authMethod.name).not.toBeNull();
  });
});
