/** Places that vendors send and that are not the vehicle's: none of them becomes a reading. */

import { describe, expect, it } from "vitest";
import { findAdapter } from "../../src/adapters/index.ts";
import { examine } from "../support/decode.ts";

const time = "2026-10-26T15:00:00Z";
const place = { latitude: 51.45, longitude: -2.58 };
const end_device_ids = { device_id: "van-5", dev_eui: "70B3D57ED00A0005" };
const gateway = [{ location: { ...place, source: "SOURCE_REGISTRY" } }];
const uplink = (rest: object) => ({ end_device_ids, uplink_message: { received_at: time, ...rest } });
const solved = (source: string) => ({
  end_device_ids,
  received_at: time,
  location_solved: { service: "some-solver", location: { ...place, source } },
});
const deviceInfo = { devEui: "24e1240000000008" };
const note = { device: "dev:864475046500033", file: "_track.qo", when: 1793026800 };
const tive = (LocationMethod: unknown) => ({
  DeviceId: "864431059900017",
  EntryTimeEpoch: 1793026800000,
  Location: { Latitude: 41.58, Longitude: -93.62, LocationMethod },
  Shipment: { ShipTo: { Latitude: 39.1, Longitude: -94.58 } },
});
const point = { point: { lat: 51.45, lon: -2.58 } };
const flespi = {
  ident: "352625330417733",
  timestamp: 1793026800,
  "position.latitude": 51.45,
  "position.longitude": -2.58,
};
const smartcar = (signal: object) => ({
  eventType: "VEHICLE_STATE",
  data: {
    vehicle: { id: "v" },
    signals: [{ ...signal, body: place, meta: { oemUpdatedAt: 1793026800000 } }],
  },
});
const digitalMatter = (field: object) => ({
  IMEI: "355900117733441",
  Records: [{ Fields: [{ ...field, GpsUTC: "2026-10-26 15:00:00", Lat: 51.45, Long: -2.58 }] }],
});

describe.each<[string, string, object, string?]>([
  [
    "the-things-stack",
    "a registered place",
    uplink({ locations: { user: { ...place, source: "SOURCE_GPS" } } }),
  ],
  ["the-things-stack", "a gateway", uplink({ decoded_payload: {}, rx_metadata: gateway })],
  ["the-things-stack", "a registry", uplink({ locations: { "frm-payload": gateway[0]?.location } })],
  ["the-things-stack", "a place solved from gateways", solved("SOURCE_LORA_TDOA_GEOLOCATION")],
  ["the-things-stack", "a place of an address", solved("SOURCE_IP_GEOLOCATION")],
  ["the-things-stack", "an old place", uplink({ decoded_payload: { ...place, fix: false } })],
  ["chirpstack", "a gateway", { time, deviceInfo, rxInfo: gateway, object: {} }, "up"],
  [
    "chirpstack",
    "a configured place",
    { time, deviceInfo, location: { ...place, source: "CONFIG" } },
    "location",
  ],
  [
    "chirpstack",
    "a place solved from gateways",
    { time, deviceInfo, location: { ...place, source: "GEO_RESOLVER_RSSI" } },
    "location",
  ],
  ["chirpstack", "a location in another event", { time, deviceInfo, location: place }, "up"],
  ["sigfox", "a station", { device: "3F9A01", time: "1793026800", lat: "44", lng: "1" }],
  [
    "sigfox",
    "a guess",
    { device: "3F9A01", time: "1793026800", location: { lat: 43.6, lng: 1.4, source: 2 } },
  ],
  ["blues-notehub", "a cell mast", { ...note, tower_when: 1793026800, tower_lat: 39.8, tower_lon: -89.6 }],
  ["blues-notehub", "an estimate", { ...note, tri_when: 1793026800, tri_lat: 39.8, tri_lon: -89.6 }],
  [
    "blues-notehub",
    "the best of these",
    { ...note, best_location_type: "tower", best_lat: 39.8, best_lon: -89.6 },
  ],
  ["tive", "a cell", tive("cell")],
  ["tive", "a place of unknown origin", tive(null)],
  [
    "zubie",
    "a fence",
    { event: "vehicle_geofence_arrival", timestamp: time, car: { key: "k" }, place: point },
  ],
  [
    "zubie",
    "an address",
    { event: "trip_start", timestamp: time, car: { key: "k" }, trip: { start_point: point } },
  ],
  ["flespi", "a place repeated without a fix", { ...flespi, "position.valid": false }],
  [
    "smartcar",
    "a signal that failed",
    smartcar({ code: "location-preciselocation", status: { value: "ERROR" } }),
  ],
  ["smartcar", "another signal", smartcar({ code: "location-home", status: { value: "SUCCESS" } })],
  ["digital-matter", "a place repeated without a fix", digitalMatter({ FType: 0, GpsStat: 0 })],
  ["digital-matter", "coordinates of another kind of field", digitalMatter({ FType: 27, GpsStat: 3 })],
])("%s", (vendor, what, body, event) => {
  it(`rejects ${what} by name`, () => {
    const adapter = findAdapter(vendor);
    if (!adapter) throw new Error(`There is no adapter for ${vendor}.`);
    const message = {
      body: Buffer.from(JSON.stringify(body)),
      receivedAt: Date.parse(time),
      method: "POST",
      headers: {},
      query: event === undefined ? {} : { event },
      retained: false,
    };
    const settings = { speedUnit: undefined, options: adapter.options?.parse(undefined) };
    const { kind, readings, rejections } = examine(adapter, message, settings);
    expect({ kind, readings }).toEqual({ kind: "decoded", readings: [] });
    expect(rejections.map(({ reason }) => reason)).toEqual(["no_fix"]);
  });
});
