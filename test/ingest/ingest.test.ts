/** Ingest: what it keeps, what it counts, what it tells, and in which order. */

import { expect, test } from "vitest";
import {
  type Authenticated,
  type AuthMethod,
  asAuthenticated,
  type Message,
} from "../../src/adapters/kit/adapter.ts";
import { ovms } from "../../src/adapters/ovms.ts";
import { speaksForOf } from "../../src/ingest/speaks-for.ts";
import { type StoreEntry, StoreError } from "../../src/ingest/store.ts";
import { AT_RECEIPT } from "../../src/reading.ts";
import { memoryStore } from "../support/memory-store.ts";
import { ingestOver, KEY, plainSource, pointText } from "../support/plain-vendor.ts";

const RECEIVED_AT = 1_700_000_100_000;

function message(body: string, changes: Partial<Message> = {}): Authenticated {
  return asAuthenticated({
    body: Buffer.from(body),
    receivedAt: RECEIVED_AT,
    headers: { "x-key": KEY },
    query: {},
    retained: false,
    ...changes,
  });
}

function setting() {
  const store = memoryStore();
  return { store, ...ingestOver(store) };
}

const throwing: AuthMethod = {
  name: "throwing",
  needs: [],
  placement: { kind: "address" },
  verify: () => {
    throw new Error("a bug in the method");
  },
};

test("a source's limit of accuracy turns down what says it is worse, and counts it", async () => {
  const { store, ingest } = setting();
  const body = JSON.stringify([4, 101, -1].map((acc, i) => ({ ...JSON.parse(pointText("van-1", i)), acc })));
  const result = await ingest.receive({ ...plainSource("vans"), maxAccuracyM: 100 }, message(body));
  expect(result).toMatchObject({ stored: 2, rejections: [{ reason: "inaccurate", path: "[1]" }] });
  expect(store.entries[0]).toMatchObject({
    readings: [{ details: { accuracyM: 4 } }, {}],
    rejections: new Map([["inaccurate", 1]]),
    defects: new Map([["detail_unreadable", 1]]),
  });
});

test("one message is one entry, with everything keep must store or count", async () => {
  const { store, ingest } = setting();
  const body = JSON.stringify([
    JSON.parse(pointText("van-1", 0)),
    { id: "van-1", t: 1_700_000_001_000, lat: 0, lon: 0 },
    { id: "van-1", t: 1_700_000_002_000, lat: null, lon: null },
    { id: "van-1", t: 1_700_000_003_000, lat: null, lon: null },
  ]);
  const result = await ingest.receive(plainSource("vans"), message(body));
  expect(result).toEqual({
    kind: "stored",
    readings: 4,
    stored: 1,
    duplicates: 0,
    rejections: [
      { reason: "null_island", path: "[1]" },
      { reason: "no_fix", path: "[2]" },
      { reason: "no_fix", path: "[3]" },
    ],
  });
  expect(store.entries).toEqual([
    {
      source: "vans",
      receivedAt: RECEIVED_AT,
      kind: "decoded",
      rawReadings: 4,
      readings: [
        {
          deviceId: "van-1",
          fixTime: 1_700_000_000_000,
          receivedAt: RECEIVED_AT,
          latitude: 30.27,
          longitude: -97.74,
          speedMps: null,
          headingDeg: null,
        },
      ],
      rejections: new Map([
        ["null_island", 1],
        ["no_fix", 2],
      ]),
      rejected: [
        { device: "van-1", reason: "null_island", count: 1, path: "[1]" },
        { device: "van-1", reason: "no_fix", count: 2, path: "[3]" },
      ].map((each) => expect.objectContaining(each)),
      defects: new Map(),
      body: Buffer.from(body),
    },
  ]);
});

const foreignIn = (store: ReturnType<typeof memoryStore>) =>
  store.entries.map((entry) => entry.kind === "decoded" && entry.rejections.get("foreign_device"));

test("of a message with a login only its own devices are taken, the others counted and named", async () => {
  const seen: string[] = [];
  const store = memoryStore();
  const { ingest, told } = ingestOver(store, (_source, deviceId) => void seen.push(deviceId));
  const body = JSON.stringify(["van-2", "van-1", "van-10"].map((id, i) => JSON.parse(pointText(id, i))));
  const result = await ingest.ingest(plainSource("vans"), message(body, { login: "van-1" }));
  expect(result).toEqual({
    kind: "stored",
    readings: 3,
    stored: 1,
    duplicates: 0,
    rejections: [
      { reason: "foreign_device", path: "[0]" },
      { reason: "foreign_device", path: "[2]" },
    ],
  });
  expect(store.entries).toMatchObject([{ rawReadings: 3, readings: [{ deviceId: "van-1" }] }]);
  expect(foreignIn(store)).toEqual([2]);
  // Its clock is not another's.
  expect(seen).toEqual(["van-1"]);
  expect(told.filter(({ event }) => event === "incident")).toEqual(
    ["van-2", "van-10"].map((id) => ({
      event: "incident",
      kind: "foreign_device",
      where: "source vans",
      subject: `${id} by van-1`,
    })),
  );
});

test("a login speaks for what its source lists, and one that is not configured any more for its own", async () => {
  const { store, ingest } = setting();
  const source = { ...plainSource("vans"), logins: new Map([["yard", speaksForOf("yard", ["van-*"])]]) };
  const taken = async (id: string, index: number, login?: string) => {
    const more = login === undefined ? {} : { login };
    const result = await ingest.ingest(source, message(pointText(id, index), more));
    return result.kind === "stored" && result.stored === 1;
  };
  expect(await taken("van-7", 0, "yard")).toBe(true);
  expect(await taken("yard", 1, "yard")).toBe(false);
  expect(await taken("van-7", 2, "gone")).toBe(false);
  expect(await taken("gone", 3, "gone")).toBe(true);
  expect(await taken("truck", 4)).toBe(true);
  expect(foreignIn(store)).toEqual([undefined, 1, 1, undefined, undefined]);
});

test("what cannot be stored yet is told as foreign once, when it is stored", async () => {
  const { store, ingest, told } = setting();
  store.before = () => {
    throw new StoreError("storage_unavailable", 1);
  };
  const foreign = message(pointText("van-2", 0), { login: "van-1" });
  expect(await ingest.ingest(plainSource("vans"), foreign)).toMatchObject({ kind: "deferred" });
  expect(told.map(({ event }) => event)).not.toContain("incident");
  store.before = () => {};
  await ingest.ingest(plainSource("vans"), foreign);
  expect(told.filter(({ event }) => event === "incident")).toHaveLength(1);
});

test("a part of a position by a foreign login is not put together with the device's own", async () => {
  const { store, ingest } = setting();
  const source = { ...plainSource("cars"), adapter: ovms, authMethod: null };
  const part = (login: string, axis: string, value: string) =>
    ingest.ingest(source, message(value, { login, topic: `${login}/ovms/owner/car/metric/v/p/${axis}` }));
  expect(await part("owner", "latitude", "51.5")).toMatchObject({ readings: 0 });
  // Under its own topic, as far as the broker can see.
  expect(await part("thief", "longitude", "2.5")).toMatchObject({ readings: 1, stored: 0 });
  expect(await part("owner", "longitude", "-0.12")).toMatchObject({ stored: 1 });
  expect(store.entries.at(-1)).toMatchObject({ readings: [{ latitude: 51.5, longitude: -0.12 }] });
  expect(foreignIn(store).filter(Boolean)).toEqual([1]);
});

test("handshakes, ignored messages and those without a device are what they were", async () => {
  const { ingest } = setting();
  const say = (body: string) => ingest.ingest(plainSource("vans"), message(body, { login: "van-1" }));
  expect(await say('{"challenge":"c"}')).toMatchObject({ kind: "handshake" });
  expect(await say('{"hello":1}')).toMatchObject({ kind: "ignored" });
  expect(await say('{"id":"","t":1,"lat":1,"lon":1}')).toMatchObject({
    rejections: [{ reason: "no_device" }],
  });
});

test("a message set aside still says who sent it", async () => {
  const { store, ingest } = setting();
  await ingest.ingest(plainSource("vans"), message("not json", { login: "van-1" }));
  await ingest.ingest(plainSource("vans"), message(pointText("bug", 0), { login: "van-1" }));
  expect(store.entries).toMatchObject([{ message: { login: "van-1" } }, { message: { login: "van-1" } }]);
});

test("a webhook whose readings are dated by receipt says so to keep, and nothing else does", async () => {
  const { store, ingest } = setting();
  const at = (fixTime: number | typeof AT_RECEIPT, latitude = 1) => ({
    ...{ deviceId: "van-1", fixTime, latitude, longitude: 1, speedMps: null, headingDeg: null, path: "" },
  });
  const said = (rawReading: ReturnType<typeof at>, more: Partial<Message>) =>
    ingest.ingest(plainSource("vans", { decode: () => [rawReading] }), message(pointText("a", 0), more));
  await said(at(AT_RECEIPT), { method: "POST" });
  await said(at(AT_RECEIPT), { topic: "vans/1" });
  await said(at(RECEIVED_AT), { method: "POST" });
  await said(at(AT_RECEIPT, 91), { method: "POST" });
  expect(store.entries.map((entry) => "timeless" in entry)).toEqual([true, false, false, false]);
});

test("a field defect is counted and costs the field only", async () => {
  const { store, ingest } = setting();
  const source = plainSource("vans", {
    decode: () => [
      {
        deviceId: "van-1",
        fixTime: RECEIVED_AT,
        latitude: 1,
        longitude: 1,
        speedMps: -3,
        headingDeg: Number.NaN,
        path: "",
      },
    ],
  });
  expect(await ingest.receive(source, message(pointText("van-1", 0)))).toMatchObject({
    stored: 1,
    rejections: [],
  });
  expect(store.entries).toMatchObject([
    {
      readings: [{ speedMps: null, headingDeg: null }],
      defects: new Map([
        ["speed_negative", 1],
        ["heading_unreadable", 1],
      ]),
    },
  ]);
});

test("all rejections are counted, twenty are named", async () => {
  const { store, ingest, told } = setting();
  const points = Array.from({ length: 50 }, () => ({ id: "van-1", t: RECEIVED_AT, lat: 0, lon: 0 }));
  const result = await ingest.receive(plainSource("vans"), message(JSON.stringify(points)));
  expect(result).toMatchObject({ readings: 50, stored: 0 });
  expect(result.kind === "stored" && result.rejections).toHaveLength(20);
  expect(store.entries).toMatchObject([{ rejections: new Map([["null_island", 50]]) }]);
  expect(told).toMatchObject([{ event: "readingRejected" }]);
});

test("the source's age limit and the retained flag reach validate", async () => {
  const { ingest } = setting();
  const source = { ...plainSource("vans"), maxAgeMs: 50_000 };
  expect(await ingest.receive(source, message(pointText("van-1", 0)))).toMatchObject({
    rejections: [{ reason: "too_old" }],
  });
  const timeless = plainSource("vans", {
    decode: () => [
      {
        deviceId: "van-1",
        fixTime: "at_receipt",
        latitude: 1,
        longitude: 1,
        speedMps: null,
        headingDeg: null,
        path: "",
      },
    ],
  });
  expect(await ingest.receive(timeless, message(pointText("v", 0), { retained: true }))).toMatchObject({
    rejections: [{ reason: "retained_without_time" }],
  });
});

test("an unauthenticated message is counted and nothing of it is read", async () => {
  const { store, ingest, told } = setting();
  let read = 0;
  const source = plainSource("vans", {
    format: () => {
      read += 1;
      return "json";
    },
  });
  const result = await ingest.receive(source, message(pointText("bug", 0), { headers: {} }));
  expect(result).toEqual({ kind: "refused", reason: "unauthenticated" });
  expect(read).toBe(0);
  expect(store.refusals).toEqual([{ source: "vans", reason: "unauthenticated" }]);
  expect(store.entries).toEqual([]);
  expect(told).toEqual([
    { event: "messageRefused", source: "vans", reason: "unauthenticated", why: "wrong_key" },
  ]);
});

test("a bug in the method lets nobody in, and nothing into the quarantine", async () => {
  const { store, ingest, told } = setting();
  const result = await ingest.receive(
    { ...plainSource("vans"), authMethod: throwing },
    message(pointText("van-1", 0)),
  );
  expect(result).toMatchObject({ kind: "failed", quarantined: false });
  expect(store.entries).toEqual([]);
  expect(told).toMatchObject([{ event: "ingestFailed", quarantined: false }]);
});

test.each([
  ["understood, no position", '{"hello":1}', { kind: "ignored" }],
  ["a handshake", '{"challenge":1}', { kind: "handshake" }],
  ["malformed", "}", { kind: "malformed", reason: "malformed" }],
  ["a bug of ours", pointText("bug", 0), { kind: "malformed", reason: "internal_error" }],
])("%s is kept as such", async (_what, body, entry) => {
  const { store, ingest } = setting();
  await ingest.receive(plainSource("vans"), message(body));
  expect(store.entries).toMatchObject([{ source: "vans", receivedAt: RECEIVED_AT, ...entry }]);
});

test("quarantine gets the message as sent, but for its proof", async () => {
  const { store, ingest } = setting();
  const sent = message("}", { topic: "a/b", query: { x: "1" } });
  await ingest.receive(plainSource("vans"), sent);
  expect(store.entries).toMatchObject([
    { message: { ...sent, headers: {} }, problems: [expect.stringContaining("not JSON")] },
  ]);
});

test.each([
  ["read", pointText("van-1", 0)],
  ["rejected", '[{"id":"v","t":1,"lat":0,"lon":0}]'],
  ["ignored", '{"hello":1}'],
  ["handshake", '{"challenge":1}'],
  ["malformed", "}"],
])("%s, but it cannot be stored: only that is reported", async (_what, body) => {
  const { store, ingest, told } = setting();
  store.before = () => {
    throw new StoreError("buffer_full", 9);
  };
  const result = await ingest.receive(plainSource("vans"), message(body));
  expect(result).toEqual({ kind: "deferred", reason: "buffer_full", retryAfterS: 9 });
  expect(store.entries).toEqual([]);
  expect(told).toMatchObject([{ event: "messageDeferred", reason: "buffer_full" }]);
});

test.each([
  ["malformed", "}"],
  ["a bug of ours", pointText("bug", 0)],
])("quarantine gets nothing of what proved the sender: %s", async (_, body) => {
  const { store, ingest } = setting();
  const source = plainSource("vans");
  const credentials = { secrets: [KEY, "the next/key"], header: "X-Mark" };
  const headers = {
    "x-key": KEY,
    "x-mark": "a signature of the body",
    "x-original-uri": `/webhooks/vans?token=${encodeURIComponent("the next/key")}`,
    "content-type": "application/json",
  };
  await ingest.receive({ ...source, credentials }, message(body, { headers, query: { token: KEY, v: "2" } }));
  expect(store.entries).toMatchObject([{ kind: "malformed" }]);
  const [entry] = store.entries;
  const stored = entry?.kind === "malformed" ? entry.message : undefined;
  expect(stored).toMatchObject({ body: Buffer.from(body) });
  expect(stored?.headers).toEqual({ "content-type": "application/json" });
  expect(stored?.query).toEqual({ v: "2" });
});

test("a bug in keep: quarantined if that still works", async () => {
  const { store, ingest, told } = setting();
  const asked: StoreEntry["kind"][] = [];
  store.before = (entry) => {
    asked.push(entry.kind);
    if (entry.kind === "decoded") throw new Error("a bug in keep");
  };
  const result = await ingest.receive(plainSource("vans"), message(pointText("van-1", 0)));
  expect(result).toMatchObject({ kind: "failed", quarantined: true });
  expect(asked).toEqual(["decoded", "malformed"]);
  expect(told).toMatchObject([
    { event: "ingestFailed", error: { message: "a bug in keep" }, quarantined: true },
  ]);
});

test("a bug of ours while nothing can be stored: its sender comes again, and then it is quarantined", async () => {
  const { store, ingest, told } = setting();
  store.before = () => {
    throw new StoreError("storage_unavailable", 7);
  };
  const bug = message(pointText("bug", 0));
  const result = await ingest.receive(plainSource("vans"), bug);
  expect(result).toEqual({ kind: "deferred", reason: "storage_unavailable", retryAfterS: 7 });
  expect(told).toMatchObject([
    { event: "ingestFailed", error: { message: "a bug in decode" }, quarantined: false },
    { event: "messageDeferred", reason: "storage_unavailable" },
  ]);
  store.before = () => {};
  expect(await ingest.receive(plainSource("vans"), bug)).toMatchObject({ kind: "failed", quarantined: true });
  expect(store.entries).toMatchObject([{ kind: "malformed", reason: "internal_error" }]);
});

test("what the way in turns down is counted under its reason", () => {
  const { store, ingest, told } = setting();
  ingest.refuse(plainSource("vans"), "too_large");
  expect(store.refusals).toEqual([{ source: "vans", reason: "too_large" }]);
  expect(told).toMatchObject([{ event: "messageRefused", reason: "too_large" }]);
});

test("a position that could not be kept comes again with its last part, though the parts were used up", async () => {
  const { store, ingest } = setting();
  const source = { ...plainSource("cars"), adapter: ovms, authMethod: null };
  const part = (axis: string, value: string, afterMs: number) =>
    ingest.receive(
      source,
      message(value, { topic: `ovms/me/car/metric/v/p/${axis}`, receivedAt: RECEIVED_AT + afterMs }),
    );
  expect(await part("latitude", "30.27", 0)).toMatchObject({ stored: 0 });
  store.before = () => {
    throw new StoreError("storage_unavailable", 1);
  };
  expect(await part("longitude", "-97.74", 100)).toMatchObject({ kind: "deferred" });
  store.before = () => {};
  expect(await part("longitude", "-97.74", 9000)).toMatchObject({ stored: 1 });
  expect(await part("longitude", "-97.74", 9100)).toMatchObject({ stored: 0 });
});
