/** Smartcar's challenge: answered without a signature, and never a way to have a message signed. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Message } from "../../src/adapters/kit/adapter.ts";
import { smartcar } from "../../src/adapters/smartcar.ts";
import { decode } from "../support/decode.ts";

const SECRET = "correct-horse-7";
const STATE = '{"eventType":"VEHICLE_STATE","vehicleId":"v","data":{"vehicle":{"id":"v"},"signals":[]}}';

function message(body: string | Uint8Array, signature?: string): Message {
  return {
    body: typeof body === "string" ? Buffer.from(body) : body,
    receivedAt: Date.UTC(2026, 9, 26, 18),
    method: "POST",
    headers: signature === undefined ? {} : { "sc-signature": signature },
    query: {},
    retained: false,
  };
}

function verify(sent: Message, secrets: readonly string[] = [SECRET]): string | null {
  const [authMethod] = smartcar.auth;
  if (!authMethod) throw new Error("Smartcar has no proof.");
  return authMethod.verify(sent, { secrets });
}

/** What a stranger is told: the answer to the challenge, or null where there is none. */
function ask(body: string | Uint8Array, secrets: readonly string[] = [SECRET], signature?: string) {
  const sent = message(body, signature);
  if (verify(sent, secrets) !== null) return null;
  const result = decode(smartcar, sent, { credentials: { secrets } });
  // Unproven, a message is answered and does nothing else.
  expect(result.kind).toBe("handshake");
  return result.kind === "handshake" ? JSON.parse(result.handshake.reply.body).challenge : null;
}

const version4 = (challenge: unknown) => JSON.stringify({ eventType: "VERIFY", data: { challenge } });
const version2 = (challenge: unknown) => JSON.stringify({ eventName: "verify", payload: { challenge } });

describe("a challenge", () => {
  // printf 3f1c2a9e-77d0-4c55-9a1b-0e6c4d2b8f10 | openssl dgst -sha256 -hmac correct-horse-7
  const challenge = "3f1c2a9e-77d0-4c55-9a1b-0e6c4d2b8f10";
  const answer = "748b1c6e43581428b4afa9573ffde5d254bb463030eef31b3e3220925c58770f";

  it.each([version4(challenge), version2(challenge)])("is answered unsigned: %s", (body) => {
    expect(ask(body)).toBe(answer);
  });

  it("may be as short as one character", () => {
    // printf 7 | openssl dgst -sha256 -hmac correct-horse-7
    expect(ask(version4("7"))).toBe("27a3a0d40d8e1ac55c3bbd016c1eb4891164835c0bbee904ac1ce204513c36d4");
  });

  it("is answered under the secret that signs the question, else under the first", () => {
    const body = version4(challenge);
    // printf '{"eventType":"VERIFY","data":{"challenge":"3f1c2a9e-77d0-4c55-9a1b-0e6c4d2b8f10"}}' | openssl dgst -sha256 -hmac correct-horse-7
    const signature = "91582c11924c994656e902814f58f4f0e7222f4858d21a8091df7af4c0f8dac1";
    expect(ask(body, ["another", SECRET], signature)).toBe(answer);
    expect(ask(body, [SECRET, "another"])).toBe(answer);
    expect(ask(body, ["another", SECRET])).not.toBe(answer);
  });

  it("is not answered under a wrong signature", () => {
    expect(verify(message(version4(challenge), "0".repeat(64)))).toBe("wrong_credentials");
  });

  it.each([
    ["a message", STATE],
    ["an object", "{}"],
    ["an object with space before", " {}"],
    ["a list", "[12345678]"],
    ["text in quotes", '"12345678"'],
    ["a line break at the end", "12345678\n"],
    ["too long", "a".repeat(201)],
    ["nothing", ""],
    ["not text", 1234567890],
    ["an object itself", { eventType: "VEHICLE_STATE" }],
  ])("is not one: %s", (_, text) => {
    expect(verify(message(version4(text)))).toBe("missing_credentials");
    expect(verify(message(version2(text)))).toBe("missing_credentials");
  });
});

describe("without a signature", () => {
  it.each([
    STATE,
    "{}",
    "null",
    "",
    '{"eventType":"VERIFY"}',
    '{"eventType":"verify","data":{"challenge":"1234567890"}}',
    '{"eventType":"VERIFY","payload":{"challenge":"1234567890"}}',
    '{"eventType":"VERIFY","data":{"challenge":"1234567890"},"eventType":"VEHICLE_STATE"}',
    `${version4("1234567890")}${" ".repeat(5000)}`,
  ])("nothing else is let in: %j", (body) => {
    expect(verify(message(body))).toBe("missing_credentials");
  });

  it("lets nothing in that is read in another way later", () => {
    const invalid = Buffer.from(version4("1234567890").replace("VERIFY", 'VERIFY","x":"\u00ff'), "latin1");
    expect(verify(message(invalid))).toBe("missing_credentials");
  });
});

describe("an answer", () => {
  it("signs nothing: what it covers is refused as a message, signed or not", () => {
    const bodies = fc.oneof(
      fc.string(),
      fc.json(),
      fc.stringMatching(/^[\w.+/=-]{1,200}$/),
      fc.constantFrom(
        STATE,
        `${STATE}\n`,
        "true",
        "null",
        "7",
        "12345678",
        "0x123456",
        "1e999999",
        "undefined",
      ),
    );
    let answered = 0;
    fc.assert(
      fc.property(bodies, (body) => {
        for (const question of [version4(body), version2(body)]) {
          const signature = ask(question);
          if (signature === null) continue;
          answered++;
          expect(verify(message(body, signature))).toBe("wrong_credentials");
        }
      }),
      { numRuns: 1000 },
    );
    expect(answered).toBeGreaterThan(100);
  });

  it("is nothing where there is no secret to answer with", () => {
    for (const secrets of [[], [""]]) {
      expect(ask(version4("1234567890"), secrets)).toBe("");
    }
  });
});
