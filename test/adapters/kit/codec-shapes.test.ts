/** The shapes of LoRa codecs, read by both stacks alike: which fixes come out of a payload, when they were, and what is none. */

import { describe, expect, it } from "vitest";
import { chirpstack } from "../../../src/adapters/chirpstack.ts";
import type { Message } from "../../../src/adapters/kit/adapter.ts";
import { SHAPES } from "../../../src/adapters/kit/codec-shapes.ts";
import { theThingsStack } from "../../../src/adapters/the-things-stack.ts";
import type { SpeedUnit } from "../../../src/reading.ts";
import { examine } from "../../support/decode.ts";

const ARRIVAL = "2026-10-14T15:04:05.000Z";
const EARLIER = "2026-10-14T14:50:00.000Z";
const S = Date.parse(EARLIER) / 1000;

interface Settings {
  options?: unknown;
  speedUnit?: SpeedUnit;
}

function message(topic: string, body: unknown): Message {
  return {
    body: Buffer.from(JSON.stringify(body)),
    receivedAt: Date.parse("2026-10-14T15:04:35Z"),
    ...{ topic, headers: {}, query: {}, retained: false },
  };
}

function byChirpstack(object: unknown, { options, speedUnit }: Settings = {}) {
  const body = { time: ARRIVAL, deviceInfo: { devEui: "70b3d57ed00c0001" }, object };
  const sent = message("application/1/device/70b3d57ed00c0001/event/up", body);
  return examine(chirpstack, sent, { speedUnit, options: chirpstack.options?.parse(options) });
}

function byTheThingsStack(decoded_payload: unknown, { options, speedUnit }: Settings = {}, more = {}) {
  const end_device_ids = { device_id: "a", dev_eui: "70B3D57ED00C0001" };
  const uplink_message = { received_at: ARRIVAL, decoded_payload, ...more };
  const sent = message("v3/app/devices/a/up", { end_device_ids, received_at: ARRIVAL, uplink_message });
  return examine(theThingsStack, sent, { speedUnit, options: theThingsStack.options?.parse(options) });
}

/** Both stacks, which have to agree in all but the device. */
function fixesOf(payload: unknown, settings: Settings = {}) {
  const shown = ({ readings, rejections, defects }: ReturnType<typeof examine>) => ({
    fixes: readings.map(({ fixTime, latitude, longitude, speedMps, headingDeg }) => ({
      ...{ fixTime, at: [latitude, longitude], speedMps, headingDeg },
    })),
    reasons: rejections.map(({ reason }) => reason),
    defects,
  });
  const one = shown(byChirpstack(payload, settings));
  expect(shown(byTheThingsStack(payload, settings))).toEqual(one);
  return one;
}

const at = [39.7, -104.9];
const place = { latitude: 39.7, longitude: -104.9 };
const fix = (more: object = {}) => ({ fixTime: ARRIVAL, at, speedMps: null, headingDeg: null, ...more });
const only = (more: object = {}) => ({ fixes: [fix(more)], reasons: [], defects: [] });
const none = (...reasons: string[]) => ({ fixes: [], reasons, defects: [] });

describe("a place", () => {
  it.each([
    ["short names", { lat: 39.7, lng: -104.9 }],
    ["capitals, and a lamp called LON", { Latitude: 39.7, Longitude: -104.9, LON: "ON", MD: 1 }],
    ["a slip of the pen", { Location: "39.7,-104.9", Latitude: 39.7, Longitud: -104.9, LON: "OFF" }],
    ["text alone", { Location: "39.7,-104.9", BatV: 3.9 }],
    ["degrees in the names", { latitudeDeg: 39.7, longitudeDeg: -104.9, fixFailed: false }],
    ["an object", { gps: place, containsGps: true }],
    ["an object in another", { location: { coords: { lat: 39.7, lon: -104.9 } } }],
    ["GeoJSON", { location: { type: "Point", coordinates: [-104.9, 39.7, 1600] } }],
    ["a pair that can be read in one order only", { position: [-104.9, 39.7] }],
    ["the same the other way round", { gps: [39.7, -104.9] }],
    ["a pair whose name says its order", { latlng: "39.7,-104.9" }],
    ["a channel of ChirpStack's Cayenne LPP", { gpsLocation: { "3": { ...place, altitude: 1600 } } }],
    ["a channel of The Things Stack's", { gps_7: { ...place, altitude: 1600 }, analog_in_1: 3 }],
    ["a word called position beside it", { ...place, position: "normal", geofence_status: "inside" }],
    ["two names that agree", { ...place, lat: "39.7", Longitude: -104.9 }],
    ["a place that repeats itself", { gps: place, location: place }],
  ])("by %s", (_, payload) => {
    expect(fixesOf(payload)).toEqual(only());
  });

  it.each([
    ["nothing", { battery: 90 }, "no_fix"],
    ["no payload", null, "no_fix"],
    [
      "a failed fix, with the old place beside",
      { fixFailed: true, cached: { latitudeDeg: 39.7, longitudeDeg: -104.9 } },
      "no_fix",
    ],
    ["a failed fix, with the old place in it", { fixFailed: true, ...place }, "no_fix"],
    ["a flag in the nested object", { gps: { ...place, fix: false } }, "no_fix"],
    ["a flag around it", { gps: place, gpsFix: 0 }, "no_fix"],
    ["a fix that is not current", { latitudeDeg: 39.7, longitudeDeg: -104.9, GpsCurrent: false }, "no_fix"],
    ["a word for no fix", { ...place, fix: "NO_FIX" }, "no_fix"],
    ["zeros", { Latitude: 0, Longitude: 0, Location: 0, LON: "ON" }, "null_island"],
    ["a lamp alone", { LON: "ON", BatV: 3.9 }, "no_fix"],
    ["scans of Wi-Fi", { wifi: [{ mac: "00:00:5E:00:53:01", rssi: -61 }], position: "tilt" }, "no_fix"],
    ["a pair in either order", { location: [39.7, -74.9] }, "bad_latitude"],
    ["two names that differ", { ...place, lat: 39.8 }, "bad_latitude"],
    ["two places that differ", { location: place, position: { lat: 40, lon: -104.9 } }, "bad_latitude"],
    ["a geofence's centre", { geofence_center_config: place }, "no_fix"],
    ["damage", { gps: { latitude: "39.7N", longitude: -104.9 } }, "bad_latitude"],
    ["one coordinate", { latitude: 39.7 }, "bad_longitude"],
  ])("is not: %s", (_, payload, reason) => {
    expect(fixesOf(payload)).toEqual(none(reason));
  });

  it("of the device's own receiver counts before one of another origin", () => {
    expect(fixesOf({ gps: place, location: { lat: 40, lon: -100 } })).toEqual(only());
  });

  it("on two channels is two places, in their order", () => {
    const two = { "1": place, "2": { latitude: 40, longitude: -105 } };
    const { fixes } = fixesOf({ gpsLocation: two });
    expect(fixes.map((one) => one.at)).toEqual([at, [40, -105]]);
    expect(byChirpstack({ gpsLocation: { ...two, "2": "§" } }).rejections).toEqual([
      { reason: "bad_latitude", path: "object.gpsLocation.2" },
    ]);
  });
});

describe("speed and heading", () => {
  it.each([
    [{ speedKmph: 36, headingDeg: 90 }, 10, 90],
    [{ speed_kmh: "36", course: 90 }, 10, 90],
    [{ speedMps: 10, cog: 90 }, 10, 90],
    [{ Speed_Knots: 36, bearing: "E" }, 18.52, 90],
    [{ speed_mph: 36, direction: 90 }, 16.09344, 90],
    [{ speed: 36, Heading: 90 }, 10, 90],
  ])("of %j are in the unit of the name, else km/h", (said, speedMps, headingDeg) => {
    const { fixes, defects } = fixesOf({ ...place, ...said });
    expect(fixes[0]?.speedMps).toBeCloseTo(speedMps, 9);
    expect(fixes[0]?.headingDeg).toBe(headingDeg);
    expect(defects).toEqual([]);
  });

  it("of a bare name are in the source's unit, which has to agree with that of a name", () => {
    expect(fixesOf({ ...place, speed: 10 }, { speedUnit: "mps" })).toEqual(only({ speedMps: 10 }));
    const both = { ...place, speed: 10, speed_kmh: 36 };
    expect(fixesOf(both, { speedUnit: "mps" })).toEqual(only({ speedMps: 10 }));
    expect(fixesOf(both)).toEqual(only({ speedMps: 10 }));
    expect(fixesOf(both, { speedUnit: "kph" }).defects).toEqual(["speed_unreadable"]);
  });

  it("are kept where the stack has solved the place", () => {
    const locations = { "frm-payload": { ...place, accuracy: 9, source: "SOURCE_GPS" } };
    const said = { speedKmph: 36, headingDeg: 90 };
    expect(byTheThingsStack(said, {}, { locations }).readings).toMatchObject([
      { ...place, speedMps: 10, headingDeg: 90, details: { accuracyM: 9 } },
    ]);
    const location = { ...place, source: "GEO_RESOLVER_GNSS" };
    const body = { time: ARRIVAL, deviceInfo: { devEui: "70b3d57ed00c0001" }, object: said, location };
    const sent = message("application/1/device/70b3d57ed00c0001/event/location", body);
    expect(
      examine(chirpstack, sent, { speedUnit: undefined, options: chirpstack.options?.parse(undefined) })
        .readings,
    ).toMatchObject([{ ...place, speedMps: 10, headingDeg: 90 }]);
  });

  it("are those of Abeeway's codec, with the age of the fix", () => {
    const abeeway = { gpsLatitude: 39.7, gpsLongitude: -104.9, age: 65, rawPositionType: "GPS" };
    const moving = { ...abeeway, speedOverGround: 1000, courseOverGround: 9000 };
    const fixTime = "2026-10-14T15:03:00.000Z";
    expect(fixesOf(moving)).toEqual(only({ fixTime, speedMps: 10, headingDeg: 90 }));
    expect(fixesOf({ ...abeeway, age: "old" })).toEqual(none("bad_time"));
    expect(fixesOf({ rawPositionType: "GPS_TIMEOUT", age: 65 })).toEqual(none("no_fix"));
  });
});

describe("time", () => {
  it.each([
    [{ time: S }],
    [{ timestamp: S * 1000 }],
    [{ ts: String(S) }],
    [{ time: "2026-10-14T14:50:00Z" }],
    [{ time: "2026-10-14T16:50:00+02:00" }],
    [{ time: "2026-10-14 14:50:00" }],
    [{ Date: "2026-10-14", Time: "14:50:0" }],
    [{ date: "2026/10/14", time: "14:50" }],
    [{ gpsTime: S, time: ARRIVAL }],
    [{ tst: S, time: "2026-10-14T14:50:00.250Z" }],
  ])("%j is that of the fix", (said) => {
    expect(fixesOf({ ...place, ...said }).fixes[0]?.fixTime.slice(0, 19)).toBe(EARLIER.slice(0, 19));
    expect(fixesOf({ gps: { ...place, ...said } }).fixes[0]?.fixTime.slice(0, 19)).toBe(EARLIER.slice(0, 19));
  });

  it("beside a nested place is read as well, unless the place has its own", () => {
    expect(fixesOf({ gps: place, time: S })).toEqual(only({ fixTime: EARLIER }));
    expect(fixesOf({ gps: { ...place, time: S }, time: ARRIVAL })).toEqual(only({ fixTime: EARLIER }));
  });

  it("that is nonsense is rejected, and never that of arrival", () => {
    expect(fixesOf({ ...place, time: "soon" })).toEqual(none("bad_time"));
    expect(fixesOf({ ...place, time: "14:50:00" })).toEqual(none("bad_time"));
    expect(fixesOf({ ...place, time: 4711 })).toEqual(none("before_2000"));
    expect(fixesOf({ ...place, time: "" })).toEqual(none("no_time"));
    expect(fixesOf({ ...place, Date: "2026-2-30", Time: "1:2:3" })).toEqual(none("bad_time"));
    expect(fixesOf({ ...place, time: S, timestamp: S + 60 })).toEqual(none("bad_time"));
  });

  it("is that of arrival where there is none", () => {
    expect(fixesOf({ ...place, time: null })).toEqual(only());
    // So Dragino's codec leaves both out.
    expect(fixesOf({ ...place, Date: 0, Time: 0 })).toEqual(only());
    expect(fixesOf({ ...place, date: "2026-10-01" })).toEqual(only());
  });

  it("is looked up at the path of the option, in its format", () => {
    const payload = { ...place, at: { s: S }, time: ARRIVAL };
    expect(fixesOf(payload, { options: { time: "at.s" } })).toEqual(only({ fixTime: EARLIER }));
    const inMillis = { options: { time: "at.s", timeFormat: "epochMillis" } };
    expect(fixesOf(payload, inMillis)).toEqual(none("before_2000"));
    expect(fixesOf({ ...place }, { options: { time: "at.s" } })).toEqual(only());
  });
});

describe("many fixes of one uplink", () => {
  const history = [
    { timestamp: S, ...place },
    { timestamp: S + 60, latitude: 39.71, longitude: -104.9 },
  ];

  it("are those the device kept, in the order of the payload", () => {
    const { fixes } = fixesOf({ ...place, history });
    expect(fixes.map(({ fixTime }) => fixTime)).toEqual([ARRIVAL, EARLIER, "2026-10-14T14:51:00.000Z"]);
    expect(fixesOf({ history, ...place }).fixes.map(({ fixTime }) => fixTime)[2]).toBe(ARRIVAL);
    expect(fixesOf({ history }).fixes).toHaveLength(2);
    expect(fixesOf({ positions: history }).fixes).toHaveLength(2);
  });

  it("have times of their own, or none", () => {
    const [first] = history;
    expect(fixesOf({ ...place, history: [first, place] })).toEqual({
      ...only(),
      fixes: [fix(), fix({ fixTime: EARLIER })],
      reasons: ["no_time"],
    });
    expect(byChirpstack({ history: [first, "§", null] }).rejections).toEqual([
      { reason: "bad_latitude", path: "object.history[1]" },
      { reason: "no_fix", path: "object.history[2]" },
    ]);
    expect(fixesOf({ ...place, history: "§" }).reasons).toEqual(["bad_latitude"]);
    expect(fixesOf({ ...place, history: [] })).toEqual(only());
  });

  it("are at the path of the option, each with its own names and paths", () => {
    const payload = {
      log: {
        list: [
          { y: 39.7, x: -104.9, t: S, v: 36 },
          { y: 39.71, x: -104.9, t: S + 60 },
        ],
      },
    };
    const paths = { latitude: "y", longitude: "x", time: "t", speed: "v" };
    const options = { readings: "log.list", ...paths };
    expect(fixesOf(payload, { options }).fixes.map(({ fixTime, speedMps }) => [fixTime, speedMps])).toEqual([
      [EARLIER, 10],
      ["2026-10-14T14:51:00.000Z", null],
    ]);
    expect(fixesOf({ log: history }, { options: { readings: "log" } }).fixes).toHaveLength(2);
  });
});

describe("SenseCAP's measurements", () => {
  const value = (measurementId: unknown, measurementValue: unknown, timestamp: unknown = S * 1000) => ({
    ...{ measurementId, measurementValue, timestamp, motionId: 0 },
  });
  const pair = (time: number) => [
    value("4197", -104.9, time),
    value("4198", "39.7", time),
    value("3000", 86, time),
  ];
  const envelope = { valid: true, err: 0 };

  it("make a fix of each list, with its own time", () => {
    const messages = [pair(S * 1000), pair(S * 1000 + 60_000)];
    expect(fixesOf({ ...envelope, messages }).fixes).toEqual([
      fix({ fixTime: EARLIER }),
      fix({ fixTime: "2026-10-14T14:51:00.000Z" }),
    ]);
  });

  it("are read from one list, with numbers, and with the time as a measurement", () => {
    expect(fixesOf({ ...envelope, messages: pair(S * 1000) })).toEqual(only({ fixTime: EARLIER }));
    const older = [
      value(4197, -104.9, undefined),
      value(4198, 39.7, undefined),
      { type: "Timestamp", measurementValue: S * 1000 },
    ];
    expect(fixesOf({ messages: [older] })).toEqual(only({ fixTime: EARLIER }));
  });

  it("are no fix where they are scans, states or errors", () => {
    const scan = [value("5001", [{ mac: "00:00:5E:00:53:01", rssi: "-60" }])];
    expect(fixesOf({ ...envelope, messages: [scan] })).toEqual(none("no_fix"));
    expect(fixesOf({ valid: true, err: 2, errMessage: "ALMANAC TOO OLD", messages: [] })).toEqual(
      none("no_fix"),
    );
    expect(fixesOf({ valid: false, err: 0, messages: [pair(S * 1000)] })).toEqual(none("no_fix"));
    expect(fixesOf({ ...envelope, messages: "§" })).toEqual(none("bad_latitude"));
  });

  it("of two instants are none", () => {
    const two = [value("4197", -104.9), value("4198", 39.7, S * 1000 + 1)];
    expect(fixesOf({ ...envelope, messages: [two] })).toEqual(none("bad_time"));
    expect(fixesOf({ ...envelope, messages: [[value("4197", -104.9)]] })).toEqual(none("bad_latitude"));
  });
});

describe("options", () => {
  it("win over shapes and names", () => {
    const payload = { ...place, gps: { y: 1, x: 2 }, v: 5, speed: 99, course: 10, c: 20, old: false };
    const options = { latitude: "gps.y", longitude: "gps.x", speed: "v", heading: "c", fix: "old" };
    expect(fixesOf(payload, { options })).toEqual(none("no_fix"));
    expect(fixesOf({ ...payload, old: true }, { options, speedUnit: "mps" })).toEqual(
      only({ at: [1, 2], speedMps: 5, headingDeg: 20 }),
    );
    expect(
      fixesOf({ ...place, now: { speed_mph: 10 } }, { options: { speed: "now.speed_mph" } }).fixes[0]
        ?.speedMps,
    ).toBe(4.4704);
  });
});

describe("ChirpStack 3", () => {
  const v3 = (body: object, topic = "application/1/device/70b3d57ed00c0001/event/up") =>
    examine(
      chirpstack,
      message(topic, { applicationID: "1", devEUI: "70b3d57ed00c0001", object: place, ...body }),
      { speedUnit: undefined, options: chirpstack.options?.parse(undefined) },
    );

  it("names the device in hexadecimal or base64", () => {
    expect(v3({}).readings[0]?.deviceId).toBe("70b3d57ed00c0001");
    expect(v3({ devEUI: "cLPVftAMAAE=" }).readings[0]?.deviceId).toBe("70b3d57ed00c0001");
  });

  it("came when a gateway says, else when it was published, else when we got it", () => {
    const published = { publishedAt: "2026-10-14T15:04:06Z" };
    const timeOf = (body: object) => v3(body).readings[0]?.fixTime;
    expect(timeOf({ ...published, rxInfo: [{ time: null }, { time: ARRIVAL }] })).toBe(ARRIVAL);
    expect(timeOf({ ...published, rxInfo: [{ time: null }] })).toBe("2026-10-14T15:04:06.000Z");
    expect(timeOf({ rxInfo: [] })).toBe("2026-10-14T15:04:35.000Z");
    expect(timeOf({ ...published, object: { ...place, time: EARLIER } })).toBe(EARLIER);
    expect(v3({ rxInfo: [{ time: "soon" }] }).rejections).toEqual([{ reason: "bad_time", path: "" }]);
  });

  it("has its object as text, and topics of its own", () => {
    const objectJSON = JSON.stringify({ history: [{ ...place, timestamp: S }, {}] });
    const sent = v3({ object: undefined, objectJSON }, "application/1/device/70b3d57ed00c0001/rx");
    expect(sent.readings).toMatchObject([{ ...place, fixTime: EARLIER }]);
    expect(sent.rejections).toEqual([{ reason: "no_fix", path: "objectJSON.history[1]" }]);
    for (const event of ["join", "ack", "error", "status"])
      expect(v3({}, `application/1/device/70b3d57ed00c0001/${event}`).kind).toBe("ignored");
    for (const nothing of ["", "{"])
      expect(v3({ object: undefined, objectJSON: nothing }).rejections).toEqual([
        { reason: "no_fix", path: "" },
      ]);
  });
});

it("have evidence", () => {
  expect(SHAPES.length).toBeGreaterThan(4);
  for (const { device, evidence } of SHAPES) expect(evidence, device).toMatch(/[\w-]+\/[\w-]+/);
});
