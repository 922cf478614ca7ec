/** A capture gives nobody away, and is still read: held against every fixture of every adapter. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import type { ScrubbedMessage } from "../../src/capture/message.ts";
import { type CaptureKey, pseudonymOf } from "../../src/capture/pseudonyms.ts";
import { scrubMessage } from "../../src/capture/scrub.ts";
import { decode } from "../support/decode.ts";
import { type Fixture, fixturesOf } from "../support/fixtures.ts";

const cases = adapters.flatMap((adapter) => fixturesOf(adapter).map((fixture) => ({ adapter, fixture })));
type Case = (typeof cases)[number];

const twoDecimals = (min: number, max: number) =>
  fc
    .tuple(fc.boolean(), fc.integer({ min: min * 100, max: max * 100 }))
    .map(([isMinus, n]) => ((isMinus ? -1 : 1) * n) / 100);
const keys = fc.record({
  key: fc.base64String({ minLength: 24, maxLength: 24 }),
  latitudeShift: twoDecimals(1, 15),
  longitudeShift: twoDecimals(1, 60),
});
const KEY: CaptureKey = { key: "a key of the test", latitudeShift: 3.41, longitudeShift: -12.77 };

function scrubbed({ adapter, fixture }: Case, key: CaptureKey): ScrubbedMessage {
  return scrubMessage({ adapter, ...fixture.settings }, fixture.message, key);
}

function rawReadingsOf({ adapter, fixture }: Case) {
  const result = decode(adapter, fixture.message, fixture.settings);
  return result.kind === "decoded" ? result.rawReadings : [];
}

/** Long enough to be nobody else's. */
function idsOf(one: Case): string[] {
  const literal = new Set((one.adapter.topics ?? []).flatMap((filter) => filter.split("/")));
  const ids = rawReadingsOf(one).flatMap(({ deviceId }) => [deviceId ?? "", ...(deviceId ?? "").split("/")]);
  // The departure's day is half of a train's id, and the day of the message.
  return ids.filter((id) => id.length >= 5 && !literal.has(id) && !/^\d{4}-\d\d-\d\d$/.test(id));
}

/** A hundred metres wide: as decimals, and as whole numbers of a hundred-thousandth. */
function placesOf(one: Case): string[] {
  const degrees = rawReadingsOf(one).flatMap(({ latitude, longitude }) => [latitude, longitude]);
  return degrees.flatMap((value) => {
    if (value === null || !Number.isFinite(value) || !/\.\d{3}/.test(String(value))) return [];
    const [whole = "", decimals = ""] = String(Math.abs(value)).split(".");
    return [
      `${whole}.${decimals.slice(0, 3)}`,
      ...(whole.length > 1 ? [`${whole}${decimals.slice(0, 5).padEnd(5, "0")}`] : []),
    ];
  });
}

describe("a captured message", () => {
  it("holds no id and no place of the original, whatever it is replaced by", () => {
    let looked = 0;
    fc.assert(
      fc.property(fc.constantFrom(...cases), keys, (one, key) => {
        const text = JSON.stringify(scrubbed(one, key));
        for (const given of [...idsOf(one), ...placesOf(one)]) {
          looked += 1;
          expect(text, `${one.fixture.name} ${given}`).not.toContain(given);
        }
        for (const secret of [key.key, String(key.latitudeShift)]) expect(text).not.toContain(`"${secret}"`);
      }),
      { numRuns: 1500 },
    );
    // Otherwise nothing was shown.
    expect(looked).toBeGreaterThan(3000);
  });

  it("keeps its body for nearly all vendors, with the same readings elsewhere", () => {
    const decoded = cases.filter((one) => rawReadingsOf(one).length > 0);
    const kept = decoded.filter((one) => scrubbed(one, KEY).body !== null);
    expect(kept.length / decoded.length).toBeGreaterThan(0.9);
    for (const one of kept) {
      const { body, topic, method, headers, query } = scrubbed(one, KEY);
      const message = { ...one.fixture.message, headers, query, body: Buffer.from(body ?? "") };
      const again: Fixture["message"] = {
        ...message,
        ...(topic !== null && { topic }),
        ...(method !== null && { method }),
      };
      const result = decode(one.adapter, again, one.fixture.settings);
      const before = rawReadingsOf(one);
      expect(result.kind === "decoded" ? result.rawReadings.length : 0, one.fixture.name).toBe(before.length);
      if (result.kind !== "decoded") continue;
      for (const [i, { latitude, fixTime, speedMps }] of result.rawReadings.entries()) {
        expect([fixTime, speedMps]).toEqual([before[i]?.fixTime, before[i]?.speedMps]);
        const own = before[i]?.latitude ?? null;
        if (own === null || latitude === null || !Number.isFinite(own)) continue;
        expect(latitude).toBeCloseTo(own === 0 ? 0 : own + KEY.latitudeShift, 4);
      }
    }
  });

  it("has neither credentials nor headers that nobody needs, and blanks what people wrote", () => {
    const one = cases.find(({ fixture }) => fixture.name === "bouncie/trip-data") as Case;
    const sent = JSON.parse(one.fixture.body);
    const body = {
      ...sent,
      driver: { firstName: "Ann-Marie", email: "ann@acme.example" },
      note: "gate code 4711",
      api_key: "s3cret-of-ours",
    };
    const message = {
      ...one.fixture.message,
      headers: {
        authorization: "our-secret-7",
        "content-type": "application/json",
        "x-forwarded-for": "203.0.113.7",
      },
      query: { token: "our-secret-7" },
      body: Buffer.from(JSON.stringify(body)),
    };
    const source = {
      adapter: one.adapter,
      ...one.fixture.settings,
      credentials: { secrets: ["our-secret-7"] },
    };
    const result = scrubMessage(source, message, KEY);
    expect(result.leftOut).toBeNull();
    const text = JSON.stringify(result);
    for (const gone of ["our-secret-7", "203.0.113.7", "Ann-Marie", "ann@acme", "4711", "s3cret"]) {
      expect(text).not.toContain(gone);
    }
    expect(Object.keys(result.headers)).toEqual(["content-type"]);
  });

  it.each([
    ["what is encrypted", Buffer.from([0xff, 0xfe, 0x00, 0x80]), "not_text"],
    ["what has no form", Buffer.from("Dear sir, van 12 is at home."), "unknown_form"],
    ["what is too long", Buffer.from(`{"a":"${"x".repeat(60_000)}"}`), "too_long"],
  ])("is left out where it is %s", (_, body, leftOut) => {
    const [one] = cases.filter(({ adapter }) => adapter.vendor === "bouncie");
    const message = { ...(one as Case).fixture.message, body };
    const result = scrubMessage(
      { adapter: (one as Case).adapter, credentials: { secrets: [] } },
      message,
      KEY,
    );
    expect(result).toMatchObject({ body: null, leftOut, bytes: body.length });
  });
});

describe("a pseudonym", () => {
  it("is the same for the same id, another one for another, and of the same shape", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[A-Za-z0-9-]{1,20}$/),
        fc.stringMatching(/^[A-Za-z0-9-]{1,20}$/),
        keys,
        (a, b, key) => {
          const [one, other] = [pseudonymOf(a, key), pseudonymOf(b, key)];
          expect(one === other).toBe(a === b);
          const shape = (text: string) =>
            text.replace(/[a-z]/g, "a").replace(/[A-Z]/g, "A").replace(/\d/g, "9");
          expect(shape(one)).toBe(shape(a));
        },
      ),
    );
  });

  it("of a number is a number", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 10n ** 18n }), keys, (n, key) => {
        expect(pseudonymOf(String(n), key)).toMatch(/^[1-9]\d*$/);
      }),
    );
  });

  it("is another one with another key", () => {
    expect(pseudonymOf("861205030047716", { key: "a" })).not.toBe(
      pseudonymOf("861205030047716", { key: "b" }),
    );
  });
});
