/** What is sealed opens only at its own place, with its own key, unchanged. */

import { expect, test } from "vitest";
import { createSeal, isSealed } from "../../src/tenants/seal.ts";

const [OLD, NEW] = [Buffer.alloc(32, "old key 0123456789"), Buffer.alloc(32, "new key 9876543210")];
const PLACE = "acme /sources/acme-vans/auth/secret";
const SECRET = "fx-Kd82jsO2kd9Qm ü";

test("a secret opens where it was sealed, and is not in the text", () => {
  const seal = createSeal([OLD]);
  const sealed = seal.seal(SECRET, PLACE);
  expect(isSealed(sealed)).toBe(true);
  expect(sealed).not.toContain(SECRET);
  expect(seal.open(sealed, PLACE)).toEqual({ kind: "open", secret: SECRET });
  expect(seal.seal(SECRET, PLACE)).not.toBe(sealed);
});

test("at another place, changed, cut short or without its key it stays closed", () => {
  const seal = createSeal([OLD]);
  const sealed = seal.seal(SECRET, PLACE);
  const broken = { kind: "closed", why: "broken" };
  expect(seal.open(sealed, PLACE.replace("acme ", "bolt "))).toEqual(broken);
  expect(seal.open(sealed, `${PLACE}s/0`)).toEqual(broken);
  const last = sealed.at(-1) === "A" ? "Q" : "A";
  expect(seal.open(sealed.slice(0, -2) + last + last, PLACE)).toEqual(broken);
  expect(seal.open(sealed.slice(0, 30), PLACE)).toEqual(broken);
  expect(createSeal([NEW]).open(sealed, PLACE)).toEqual({ kind: "closed", why: "unknown_key" });
});

test("during a rotation the new key seals and the old one still opens", () => {
  const sealed = createSeal([OLD]).seal(SECRET, PLACE);
  const both = createSeal([NEW, OLD]);
  expect(both.open(sealed, PLACE)).toEqual({ kind: "open", secret: SECRET });
  expect(both.isCurrent(sealed)).toBe(false);
  expect(both.isCurrent(both.seal(SECRET, PLACE))).toBe(true);
});

test("without a key nothing is sealed", () => {
  const none = createSeal([]);
  expect(none.canSeal).toBe(false);
  expect(() => none.seal(SECRET, PLACE)).toThrow("No seal key");
});
