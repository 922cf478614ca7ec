/** A source's `speedUnit` is honoured or refused for every vendor, and never ignored without a word. */

import { describe, expect, it } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import type { Adapter } from "../../src/adapters/kit/adapter.ts";
import { loadConfig } from "../../src/config/load.ts";
import { MPS_PER, SPEED_UNITS, type SpeedUnit } from "../../src/reading.ts";
import { decode } from "../support/decode.ts";
import { fixturesOf } from "../support/fixtures.ts";

const destination = { tenant: 1000001, provider: "acme", clientId: "c", clientSecret: "s", appKey: "k" };

/** What the configuration check says of the setting. */
function saidOf({ vendor }: Adapter, speedUnit: SpeedUnit | undefined): string[] {
  const source = { vendor, destination: "acme", ...(speedUnit && { speedUnit }) };
  const settings = { destinations: { acme: destination }, sources: { one: source } };
  const loaded = loadConfig({ settings, env: {}, adapters });
  const problems = "problems" in loaded ? loaded.problems : [];
  return problems.flatMap(({ path, message }) => (path === "sources.one.speedUnit" ? message : []));
}

/** The speeds of all messages of the vendor with this unit, by message. */
function speedsWith(adapter: Adapter, speedUnit: SpeedUnit | undefined): (number | null)[][] {
  return fixturesOf(adapter).flatMap(({ before, message, settings }) =>
    [...before, message].map((sent) => {
      const result = decode(adapter, sent, { ...settings, speedUnit });
      return result.kind === "decoded" ? result.rawReadings.map(({ speedMps }) => speedMps) : [];
    }),
  );
}

const isAChoice = ({ speedUnit }: Adapter) => speedUnit === "required" || speedUnit === "optional";

describe.each(adapters.filter(isAChoice).map((adapter) => [adapter.vendor, adapter] as const))(
  "%s",
  (_, adapter) => {
    it("takes a unit", () => {
      for (const unit of SPEED_UNITS) expect(saidOf(adapter, unit)).toEqual([]);
      expect(saidOf(adapter, undefined).length > 0).toBe(adapter.speedUnit === "required");
    });

    it("reads its speeds in it", () => {
      const inMph = speedsWith(adapter, "mph").flat();
      const inMps = speedsWith(adapter, "mps").flat();
      const scaled = inMps.filter((speed, at) => {
        const ratio = (inMph[at] ?? Number.NaN) / (speed ?? Number.NaN);
        return Math.abs(ratio - MPS_PER.mph) < 1e-9;
      });
      expect(scaled.length, "Add a message with a speed that has no unit of its own.").toBeGreaterThan(0);
    });
  },
);

describe.each(
  adapters.filter((adapter) => !isAChoice(adapter)).map((adapter) => [adapter.vendor, adapter] as const),
)("%s", (_, adapter) => {
  it("refuses a unit, which would change nothing", () => {
    for (const unit of SPEED_UNITS) expect(saidOf(adapter, unit)[0]).toMatch(/has no effect/);
    expect(saidOf(adapter, undefined)).toEqual([]);
  });
});

describe("osmand", () => {
  const speed = (message: object, speedUnit?: SpeedUnit) => {
    const adapter = adapters.find(({ vendor }) => vendor === "osmand");
    if (!adapter) throw new Error("There is no adapter for osmand.");
    const sent = {
      body: Buffer.alloc(0),
      receivedAt: 0,
      method: "GET",
      headers: {},
      query: {},
      retained: false,
    };
    const settings = { speedUnit, credentials: { secrets: [] } };
    const result = decode(adapter, { ...sent, ...message }, settings);
    return result.kind === "decoded" ? result.rawReadings[0]?.speedMps : null;
  };
  const query = { query: { id: "7", lat: "1", lon: "2", speed: "10" } };
  const location = { timestamp: "2026-10-26T15:00:00Z", coords: { latitude: 1, longitude: 2, speed: 10 } };
  const posted = { method: "POST", body: Buffer.from(JSON.stringify({ device_id: "7", location })) };

  it("takes knots in a query and metres per second in JSON, unless the source says otherwise", () => {
    expect(speed(query)).toBeCloseTo(10 * MPS_PER.knots, 9);
    expect(speed(posted)).toBe(10);
    expect(speed(query, "mps")).toBe(10);
    expect(speed(query, "kph")).toBeCloseTo(10 / 3.6, 9);
    expect(speed(posted, "mph")).toBeCloseTo(4.4704, 9);
  });
});
