/** The proofs, against values computed elsewhere and against senders who guess. */

import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Credentials, Message } from "../../src/adapters/adapter.ts";
import * as auth from "../../src/adapters/auth.ts";

const { addressList, addressRange, basic, bearer, customHeader, hmac, sharedKey, urlToken } = auth;

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
    expect(sharedKey("X-Key").prove(withHeader("x-key", wire), { secrets: ["schlüssel"] })).toBeNull();
    expect(sharedKey("X-Key").prove(withHeader("x-key", "schlussel"), { secrets: ["schlüssel"] })).toBe(
      "wrong_proof",
    );
  });

  it("takes the bare key, not one with a scheme", () => {
    expect(sharedKey("X-Key").prove(withHeader("x-key", "Bearer s"), { secrets: ["s"] })).toBe("wrong_proof");
  });

  it("reads the scheme of a bearer token in any case, and nothing but that scheme", () => {
    for (const given of ["Bearer s", "bearer s", "BEARER  s"]) {
      expect(bearer().prove(withHeader("authorization", given), { secrets: ["s"] })).toBeNull();
    }
    for (const given of ["s", "Basic s", "Bearer", "Bearer ", "Bearers", ""]) {
      expect(bearer().prove(withHeader("authorization", given), { secrets: ["s"] })).toBe("missing_proof");
    }
  });

  it("needs to be told which header the customer chose", () => {
    const given = withHeader("x-mine", "s");
    expect(customHeader().prove(given, { secrets: ["s"], header: "X-Mine" })).toBeNull();
    expect(customHeader().prove(given, { secrets: ["s"] })).toBe("missing_proof");
  });

  it("reads user and password of RFC 7617's own examples", () => {
    const aladdin = withHeader("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    expect(basic().prove(aladdin, { username: "Aladdin", secrets: ["open sesame"] })).toBeNull();
    expect(basic().prove(aladdin, { username: "aladdin", secrets: ["open sesame"] })).toBe("wrong_proof");
    expect(basic().prove(aladdin, { secrets: ["open sesame"] })).toBe("wrong_proof");
    const pound = withHeader("authorization", "Basic dGVzdDoxMjPCow==");
    expect(basic().prove(pound, { username: "test", secrets: ["123£"] })).toBeNull();
  });

  it("does not confuse where the user ends", () => {
    const given = withHeader("authorization", `Basic ${Buffer.from("a:b:c").toString("base64")}`);
    expect(basic().prove(given, { username: "a", secrets: ["b:c"] })).toBeNull();
    expect(basic().prove(given, { username: "a", secrets: ["b"] })).toBe("wrong_proof");
    const empty = withHeader("authorization", `Basic ${Buffer.from("a:").toString("base64")}`);
    expect(basic().prove(empty, { username: "a", secrets: [""] })).toBe("wrong_proof");
  });
});

describe("hmac", () => {
  const body = Buffer.from("what do ya want for nothing?");

  it("agrees with RFC 2202 and RFC 4231, test case 2", () => {
    const sha1 = hmac({ algorithm: "sha1", header: "X-Sig", encoding: "hex" });
    const sha256 = hmac({ algorithm: "sha256", header: "X-Sig", encoding: "hex" });
    const over = (signature: string) => message({ body, headers: { "x-sig": signature } });
    expect(sha1.prove(over("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"), { secrets: ["Jefe"] })).toBeNull();
    const long = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    expect(sha256.prove(over(long), { secrets: ["Jefe"] })).toBeNull();
    expect(sha256.prove(over(long.toUpperCase()), { secrets: ["Jefe"] })).toBeNull();
    for (const wrong of [long.slice(0, -1), `${long}0`, `0x${long}`, long.replace("5b", "5c"), ` ${long}`]) {
      expect(sha256.prove(over(wrong), { secrets: ["Jefe"] })).toBe("wrong_proof");
    }
  });

  it("agrees with the two signatures Motive publishes", () => {
    const proof = hmac({ algorithm: "sha1", header: "X-KT-Webhook-Signature", encoding: "hex" });
    const over = (text: string, signature: string) =>
      message({ body: Buffer.from(text), headers: { "x-kt-webhook-signature": signature } });
    const actions = over('["fault_code_closed"]', "f04a8386a21a6cba0447024e83b3f0983352bb72");
    expect(proof.prove(actions, { secrets: ["d9d36bea41c44ae49d1bfc4a48ba2abe"] })).toBeNull();
    const test = over('{"action":"test"}', "5e1a966298ba4f3e91847aea8746198ca0530dd2");
    expect(proof.prove(test, { secrets: ["8cbd43f98ba1e33c28c9"] })).toBeNull();
  });

  it("reads base64, and a prefix where there is one", () => {
    const signature = createHmac("sha256", "k").update(body).digest("base64");
    const proof = hmac({ algorithm: "sha256", header: "X-Sig", encoding: "base64", prefix: "sha256=" });
    expect(
      proof.prove(message({ body, headers: { "x-sig": `sha256=${signature}` } }), { secrets: ["k"] }),
    ).toBeNull();
    expect(proof.prove(message({ body, headers: { "x-sig": signature } }), { secrets: ["k"] })).toBe(
      "wrong_proof",
    );
  });

  it("does not prove a GET, whose values are in the query", () => {
    const proof = hmac({ algorithm: "sha256", encoding: "hex" });
    const signature = createHmac("sha256", "k").update("").digest("hex");
    const get = message({ method: "GET", headers: { "x-sig": signature }, query: { latitude: "1" } });
    expect(proof.prove(get, { secrets: ["k"], header: "X-Sig" })).toBe("unsigned_query");
    expect(proof.prove({ ...get, method: "POST" }, { secrets: ["k"], header: "X-Sig" })).toBeNull();
  });
});

describe("url token", () => {
  it("compares the decoded parameter", () => {
    expect(urlToken().prove(message({ query: { token: "a b&c" } }), { secrets: ["a b&c"] })).toBeNull();
    expect(urlToken().prove(message({ query: { Token: "s" } }), { secrets: ["s"] })).toBe("missing_proof");
  });
});

describe("address list", () => {
  const from = (remoteAddress: string, ...allow: string[]) =>
    addressList().prove(message({ remoteAddress }), { secrets: [], allow });

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
    expect(from(address, range)).toBe("wrong_proof");
  });

  it("keeps out who has no address", () => {
    expect(addressList().prove(message(), { secrets: [], allow: ["0.0.0.0/0"] })).toBe("missing_proof");
    expect(from("localhost", "127.0.0.1")).toBe("missing_proof");
    expect(from("127.0.0.1")).toBe("wrong_proof");
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
    expect(addressRange(text)).toBeNull();
  });
});

describe("every proof", () => {
  const proofs = [
    ...[sharedKey("x-key"), customHeader(), bearer(), basic(), urlToken(), addressList()],
    ...[
      hmac({ algorithm: "sha1", encoding: "hex" }),
      hmac({ algorithm: "sha256", encoding: "base64", prefix: "v1=" }),
    ],
  ];

  it("refuses strangers and never throws, whatever they send", () => {
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
          for (const proof of proofs) expect(proof.prove(sent, credentials), proof.name).toMatch(/^[a-z_]+$/);
        },
      ),
    );
  });

  it("is not given by sending nothing where nothing is configured", () => {
    const nothing = message({ headers: { "x-key": "", authorization: "Basic Og==" }, query: { token: "" } });
    for (const proof of proofs)
      expect(proof.prove(nothing, { secrets: ["", ""], username: "" }), proof.name).not.toBeNull();
  });
});
