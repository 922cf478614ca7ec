/** The `decode` command: one JSON object out of one message or a sequence, judged by ranges only. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DecodeRequest, decodeMessages } from "../../src/commands/decode-messages.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "waypost-decode-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: unknown): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

async function decode(request: DecodeRequest, body: unknown = "") {
  const notes: string[] = [];
  const bytes = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  const answer = await decodeMessages({ note: (line) => notes.push(line), ...request }, bytes);
  return { answer, notes };
}

const own = {
  deviceId: "van-1",
  latitude: 39.7,
  longitude: -105,
  time: "2001-02-03T04:05:06.789Z",
  speed: 10,
  heading: 360,
};

describe("decodeMessages", () => {
  it("notes the vendor's details beside the position", async () => {
    const body = { _type: "location", lat: 39.7, lon: -105, tst: 1_793_026_800, acc: 7, batt: 81 };
    const { answer, notes } = await decode({ vendor: "owntracks", topic: "owntracks/ann/phone" }, body);
    expect(answer.readings[0]).not.toHaveProperty("details");
    expect(notes).toEqual([
      'details of ann/phone at 2026-10-26T15:00:00.000Z: {"accuracyM":7,"batteryPct":81}',
    ]);
  });

  it("reads a message of the quarantine as it came", async () => {
    const message = {
      ...{ id: "1-0", source: "phones", vendor: "owntracks", reason: "internal_error", problems: [] },
      receivedAt: "2026-10-26T15:00:00.000Z",
      ...{ method: null, topic: "owntracks/ann/phone", retained: true, headers: {}, query: {} },
    };
    const body = { _type: "location", lat: 39.7, lon: -105, tst: 1_793_026_800, tid: "an" };
    const expected = (await decode({ vendor: "owntracks", topic: message.topic }, body)).answer;
    expect(expected.readings).toHaveLength(1);
    for (const given of [
      { ...message, body: JSON.stringify(body), bodyBase64: null },
      { ...message, body: null, bodyBase64: Buffer.from(JSON.stringify(body)).toString("base64") },
    ]) {
      expect((await decode({ vendor: "owntracks", quarantined: true }, given)).answer).toEqual(expected);
    }
    const known = { ...message, login: "ann", body: JSON.stringify(body), bodyBase64: null };
    const { answer, notes } = await decode({ vendor: "owntracks", quarantined: true }, known);
    expect(answer).toEqual(expected);
    expect(notes.join()).toContain("the login ann");
    await expect(
      decode({ vendor: "owntracks", quarantined: true }, '{"error":"unauthorized"}'),
    ).rejects.toThrow(/Not a message of the quarantine, but .*unauthorized/);
  });

  it("answers with exactly the documented object, however old the fix is", async () => {
    const { answer, notes } = await decode({ vendor: "json" }, own);
    expect(answer).toEqual({
      kind: "decoded",
      readings: [
        {
          deviceId: "van-1",
          fixTime: "2001-02-03T04:05:06.789Z",
          latitude: 39.7,
          longitude: -105,
          speedMps: 10,
          headingDeg: 0,
        },
      ],
      rejections: [],
    });
    expect(notes).toEqual([]);
  });

  it("lists what was rejected, and notes what cost only a field", async () => {
    const { answer, notes } = await decode({ vendor: "json" }, [
      own,
      { ...own, latitude: 91 },
      { ...own, speed: 500 },
    ]);
    expect(answer.rejections).toEqual([{ reason: "latitude_out_of_range", path: "[1]" }]);
    expect(answer.readings.map(({ speedMps }) => speedMps)).toEqual([10, null]);
    expect(notes).toEqual(["speed_too_high"]);
  });

  it("notes why a message is malformed or ignored", async () => {
    const malformed = await decode({ vendor: "json" }, { latitude: 1 });
    expect(malformed.answer).toEqual({ kind: "malformed", readings: [], rejections: [] });
    expect(malformed.notes).toEqual([
      ...["deviceId: is missing", "longitude: is missing", "time: is missing"],
      expect.stringMatching(/^No adapter reads a position out of it\./),
    ]);
    const ignored = await decode({ vendor: "bouncie" }, { eventType: "tripEnd" });
    expect(ignored.answer.kind).toBe("ignored");
    expect(ignored.notes).toEqual(["ignored: tripEnd"]);
  });

  it("reads the device from a topic, and a retained message's age from its time", async () => {
    const fix = { _type: "location", lat: 1, lon: 2, tst: 1791990245 };
    const { answer } = await decode({ vendor: "owntracks", topic: "owntracks/u/d", retained: true }, fix);
    expect(answer.readings).toMatchObject([{ deviceId: "u/d", fixTime: "2026-10-14T15:04:05.000Z" }]);
  });

  it("reads headers from a file of headers, or from one that describes the request", async () => {
    const fix = { _type: "location", lat: 1, lon: 2, tst: 1791990245 };
    const headers = { "X-Limit-U": "u", "X-Limit-D": "d" };
    for (const content of [headers, { method: "POST", headers, note: "n" }]) {
      const headersFile = await file("headers.json", content);
      const { answer } = await decode({ vendor: "owntracks", headersFile }, fix);
      expect(answer.readings[0]?.deviceId).toBe("u/d");
    }
  });

  it("reads a query without a body, and a form", async () => {
    const query = "deviceId=a&latitude=1&longitude=2&time=2026-10-14T15:04:05Z";
    expect((await decode({ vendor: "json", query })).answer.readings).toHaveLength(1);
    const contentType = "application/x-www-form-urlencoded";
    expect((await decode({ vendor: "json", contentType }, query)).answer.readings).toHaveLength(1);
    expect((await decode({ vendor: "json", contentType }, own)).answer.readings).toHaveLength(1);
  });

  it("uses the time of receipt where the source's messages carry none", async () => {
    const options = { deviceId: { topicLevel: 2 }, latitude: "y", longitude: "x", timeFormat: "received" };
    const request = { vendor: "json", topic: "yard/b-17", options, receivedAt: "2026-10-14T10:04:05-05:00" };
    const { answer } = await decode(request, { y: 1, x: 2 });
    expect(answer.readings).toMatchObject([{ deviceId: "b-17", fixTime: "2026-10-14T15:04:05.000Z" }]);
    const stored = await decode({ ...request, retained: true }, { y: 1, x: 2 });
    expect(stored.answer.rejections).toEqual([{ reason: "retained_without_time", path: "" }]);
  });

  it("reads a sequence in order, payloads as text or as JSON", async () => {
    const sequenceFile = await file("sequence.json", [
      {
        topic: "owntracks/u/a",
        payload: { _type: "location", lat: 1, lon: 2, tst: 1791990245 },
        receivedAt: "2026-10-14T15:04:06Z",
      },
      {
        topic: "owntracks/u/a",
        payload: '{"_type":"lwt","tst":1}',
        receivedAt: "2026-10-14T15:04:07Z",
        retain: true,
      },
      {
        topic: "owntracks/u/b",
        payload: { _type: "location", lat: 0, lon: 0, tst: 1791990247 },
        receivedAt: "2026-10-14T15:04:08Z",
      },
      { topic: "owntracks/u/c", payload: "garbage", receivedAt: "2026-10-14T15:04:08Z" },
    ]);
    const { answer, notes } = await decode({ vendor: "owntracks", sequenceFile });
    expect(answer.kind).toBe("decoded");
    expect(answer.readings.map(({ deviceId }) => deviceId)).toEqual(["u/a"]);
    expect(answer.rejections).toEqual([{ reason: "null_island", path: "[2]" }]);
    expect(notes[0]).toBe("message 2: ignored: lwt");
    expect(notes[1]).toMatch(/^message 4: /);
  });

  it.each([
    ["motive", { action: "vehicle_location_updated", vehicle_id: 7, located_at: own.time, lat: 1, lon: 2 }],
    [
      "azuga",
      { type: "GPS_MESSAGE", vehicleId: 7, locationTime: Date.parse(own.time), latitude: 1, longitude: 2 },
    ],
    ["hapn", { type: "GTFRI", imei: 7, gpsUTCTime: "20010203040506", latitude: 1, longitude: 2 }],
  ])("decodes %s without its unit of speed, but for speeds", async (vendor, body) => {
    for (const [speed, speedMps] of [
      [0, 0],
      [12, null],
      [null, null],
    ]) {
      const { answer, notes } = await decode({ vendor }, { ...body, speed });
      expect(answer.readings).toMatchObject([{ deviceId: "7", latitude: 1, longitude: 2, speedMps }]);
      expect(notes.filter((line) => line.includes("--speed-unit")).length).toBe(speed === 12 ? 1 : 0);
    }
    const { answer, notes } = await decode({ vendor, speedUnit: "mps" }, { ...body, speed: 12 });
    expect(answer.readings).toMatchObject([{ speedMps: 12 }]);
    expect(notes.join()).not.toContain("--speed-unit");
  });

  it.each([
    [{ vendor: "nobody" }, /No adapter for nobody. There are: .*bouncie, .*traccar/],
    [{ vendor: "json", speedUnit: "furlongs" }, /mph, kph, mps, knots/],
    [{ vendor: "bouncie", options: {} }, /takes no options/],
    [
      { vendor: "json", options: { deviceId: "a", latitude: "b", longitude: "c", time: "d", speed: "e" } },
      /speedUnit: required/,
    ],
    [{ vendor: "json", receivedAt: "yesterday" }, /Not a time with a zone: yesterday/],
    [{ vendor: "json", headersFile: "/nowhere.json" }, /Cannot read \/nowhere.json/],
  ])("explains what it cannot do: %j", async (request, message) => {
    await expect(decode(request, own)).rejects.toThrow(message);
  });
});
