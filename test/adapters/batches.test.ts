/** One odd element of a batch costs what stands in it, never its neighbours: they would wait in quarantine for a person. */

import { describe, expect, it } from "vitest";
import { findAdapter } from "../../src/adapters/index.ts";
import { examine } from "../support/decode.ts";

const receivedAt = Date.UTC(2026, 9, 26, 15);
const [seconds, iso] = [receivedAt / 1000, new Date(receivedAt).toISOString()];

const fix = { timeInUtc: iso, latitude: 33.4, longitude: -112, speedms: 0, heading: 0 };
const record = { Fields: [{ FType: 0, GpsUTC: iso, Lat: 33.4, Long: -112, GpsStat: 3 }] };
const flespi = { ident: "a", timestamp: seconds, "position.latitude": 33.4, "position.longitude": -112 };
const vehicle = { id: "a", gps: [{ time: iso, latitude: 33.4, longitude: -112 }] };
const asset = { asset: { id: "a" }, happenedAtTime: iso, location: { latitude: 33.4, longitude: -112 } };
const location = { timestamp: iso, coords: { latitude: 33.4, longitude: -112 } };
const answer = { path: "/location", body: vehicle.gps[0], headers: { "sc-data-age": iso } };
const point = { timestamp: iso, gps: { lat: 33.4, lon: -112 } };
const feature = {
  geometry: { coordinates: [-112, 33.4] },
  properties: { device_id: "a", timestamp: iso },
};
const linxup = { date: receivedAt, latitude: 33.4, longitude: -112, tracker: { trackerId: "a" } };
const log = { device: { id: "a" }, dateTime: iso, latitude: 33.4, longitude: -112, speed: 0 };

/** Puts the odd ones before and behind a good element, in the message they come in. */
const around: Record<string, { good: unknown; odd: unknown[]; message: (all: unknown[]) => unknown }> = {
  lytx: {
    good: { vehicleId: "a", gpsPositions: [fix] },
    odd: [null, "no", {}, { vehicleId: "b", gpsPositions: null }, { vehicleId: "b", gpsPositions: [7] }],
    message: (all) => all,
  },
  "digital-matter": {
    good: record,
    odd: [null, "no", {}, { Fields: null }, { Fields: [null] }, { Fields: {} }],
    message: (Records) => ({ IMEI: "a", Records }),
  },
  flespi: { good: flespi, odd: [null, "no", {}, []], message: (all) => all },
  "samsara-feed": {
    good: vehicle,
    odd: [null, "no", { id: "b", gps: "no" }, { id: "b", gps: null }, { id: "b", gps: [null] }],
    message: (data) => ({ data }),
  },
  "samsara-feed, assets": {
    good: asset,
    odd: [null, { asset: null, happenedAtTime: iso }, { asset: { id: "b" } }],
    message: (data) => ({ data }),
  },
  osmand: { good: location, odd: [null, "no", {}], message: (all) => ({ device_id: "a", location: all }) },
  smartcar: {
    good: { vehicleId: "a", data: [answer] },
    odd: [null, "no", { vehicleId: "b" }, { vehicleId: "b", data: "no" }, { vehicleId: "b", data: [null] }],
    message: (vehicles) => ({ eventName: "schedule", payload: { vehicles } }),
  },
  bouncie: {
    good: point,
    odd: [null, "no", { timestamp: iso, gps: null }],
    message: (data) => ({ eventType: "tripData", imei: "a", data }),
  },
  overland: { good: feature, odd: [null, "no", { geometry: 7 }], message: (locations) => ({ locations }) },
  linxup: { good: linxup, odd: [null, "no", { ...linxup, tracker: null }], message: (all) => all },
  geotab: {
    good: log,
    odd: [null, "no", { ...log, device: "NoDeviceId" }, { ...log, device: { id: "UnknownDeviceId" } }],
    message: (data) => ({ result: { data, toVersion: "1" } }),
  },
};

describe.each(Object.entries(around))("%s", (name, { good, odd, message }) => {
  const adapter = findAdapter(name.split(",")[0] ?? "");
  if (!adapter) throw new Error(`There is no adapter for ${name}.`);

  it.each(odd.map((one) => [JSON.stringify(one), one]))("loses only %s", (_, one) => {
    const sent = {
      body: Buffer.from(JSON.stringify(message([one, good, one]))),
      receivedAt,
      method: "POST",
      headers: {},
      query: {},
      retained: false,
    };
    const settings = { speedUnit: undefined, options: adapter.options?.parse(undefined) };
    const { kind, readings, rejections } = examine(adapter, sent, settings);
    expect(kind).toBe("decoded");
    expect(readings).toMatchObject([{ deviceId: "a", latitude: 33.4, longitude: -112, fixTime: iso }]);
    expect(rejections).toHaveLength(2);
    for (const { reason } of rejections) expect(["no_device", "no_fix", "bad_latitude"]).toContain(reason);
  });
});
