/** OwnTracks' passphrases: what is a possible one, and what is said where none fits. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Message } from "../../src/adapters/kit/adapter.ts";
import { owntracks } from "../../src/adapters/owntracks.ts";
import { decode } from "../support/decode.ts";

/** Sealed by libsodium with "correct horse". */
const SEALED = readFileSync(new URL("../fixtures/owntracks/encrypted-with-key.json", import.meta.url));

function sent(options: unknown, topic = "owntracks/mara/pixel", body: Uint8Array = SEALED) {
  const message: Message = { body, topic, receivedAt: 0, headers: {}, query: {}, retained: false };
  return decode(owntracks, message, {
    options: owntracks.options?.parse(options),
    credentials: { secrets: [] },
  });
}

describe("encrypted messages", () => {
  it("are opened with the device's own passphrase, else with that of all", () => {
    const keys = [{ device: "mara/pixel", key: "correct horse" }];
    expect(sent({ key: "correct horse" }).kind).toBe("decoded");
    expect(sent({ keys }).kind).toBe("decoded");
    expect(sent({ key: "another", keys }).kind).toBe("decoded");
    expect(sent({ key: "correct horse", keys: [{ device: "mara/pixel", key: "another" }] }).kind).toBe(
      "malformed",
    );
  });

  it("are set aside with the reason where no passphrase fits", () => {
    const missing = {
      kind: "malformed",
      problems: ["message: is encrypted, and no key in the options is for its device"],
    };
    expect(sent(undefined)).toEqual(missing);
    expect(sent({ keys: [{ device: "mara/iphone", key: "correct horse" }] })).toEqual(missing);
    expect(sent({ key: "wrong" })).toEqual({
      kind: "malformed",
      problems: ["data: cannot be opened with the key of its device"],
    });
  });

  it("are believed only whole: no bit of them may be another", () => {
    const { data } = JSON.parse(SEALED.toString());
    const bytes = Buffer.from(data, "base64");
    for (let at = 0; at < bytes.length; at++) {
      const altered = Buffer.from(bytes);
      altered[at] = (altered[at] ?? 0) ^ 1;
      const body = Buffer.from(JSON.stringify({ _type: "encrypted", data: altered.toString("base64") }));
      expect(sent({ key: "correct horse" }, undefined, body).kind, `byte ${at}`).toBe("malformed");
    }
    for (const damaged of ["", "§", null, 7, bytes.subarray(0, 23).toString("base64")]) {
      const body = Buffer.from(JSON.stringify({ _type: "encrypted", data: damaged }));
      expect(sent({ key: "correct horse" }, undefined, body).kind).toBe("malformed");
    }
  });
});

describe("a passphrase", () => {
  it("is up to 32 bytes of UTF-8", () => {
    const accepts = (key: unknown) => owntracks.options?.safeParse({ key }).success;
    for (const good of ["x", "x".repeat(32), "ß".repeat(16)]) expect(accepts(good), good).toBe(true);
    for (const bad of ["", "x".repeat(33), "ß".repeat(17), 7, null])
      expect(accepts(bad), String(bad)).toBe(false);
  });
});
