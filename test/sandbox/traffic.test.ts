/** Checks the fleet's messages against what vendors are documented to send, and that chance is only pretended. */

import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { fleetSources } from "../../sandbox/fleet.ts";
import { createTraffic, type FleetMessage, type MessageKind, planFleet } from "../../sandbox/traffic.ts";
import { FLEET_SOURCES, type FleetSource } from "../../sandbox/vendor.ts";
import { findAdapter } from "../../src/adapters/index.ts";
import { decode } from "../support/decode.ts";

const START_MS = Date.parse("2026-11-20T15:00:00.123Z");
const SECRETS = {
  bouncie: "secret of bouncie",
  motive: "secret of motive",
  traccar: "secret of traccar",
  owntracks: "secret of owntracks",
  "owntracks-http": "secret of owntracks-http",
  hsl: "secret of hsl",
  json: "secret of json",
};
const PLAN = { seed: 7, vehicles: 200, ways: "webhooks_and_mqtt" } as const;

function run(minutes: number, changes: Partial<Parameters<typeof createTraffic>[0]> = {}): FleetMessage[] {
  return createTraffic({ ...PLAN, secrets: SECRETS, startMs: START_MS, ...changes }).advance(
    START_MS + minutes * 60_000,
  );
}

/** Ten minutes of 200 vehicles. */
const messages = run(10);
const of = (source: FleetSource, ...kinds: MessageKind[]) =>
  messages.filter((message) => message.source === source && kinds.includes(message.kind));

describe("the same messages come", () => {
  test("for the same seed and start, however time is cut", () => {
    const traffic = createTraffic({ ...PLAN, secrets: SECRETS, startMs: START_MS });
    const pieces: FleetMessage[] = [];
    for (let at = START_MS; at <= START_MS + 120_000; at += 137) pieces.push(...traffic.advance(at));
    pieces.push(...traffic.advance(START_MS + 120_000));
    expect(pieces).toEqual(run(2));
  });

  test("other messages come for another seed", () => {
    expect(run(1).map(({ body }) => body)).not.toEqual(run(1, { seed: 8 }).map(({ body }) => body));
  });

  test("in the order of sending, none before it is due", () => {
    for (const [index, { sendAt }] of messages.entries()) {
      expect(sendAt).toBeGreaterThanOrEqual(messages[index - 1]?.sendAt ?? START_MS);
    }
    expect(messages.at(-1)?.sendAt).toBeLessThanOrEqual(START_MS + 600_000);
  });
});

test("devices are spread over all sources as planned, with ids of their own", () => {
  const devices = planFleet(PLAN);
  expect(new Set(devices.map(({ vendor, id }) => `${vendor.source} ${id}`)).size).toBe(200);
  for (const source of FLEET_SOURCES) {
    const planned = devices.filter(({ vendor }) => vendor.source === source);
    expect(planned.length).toBeGreaterThan(0);
    expect(Math.abs(planned.length / 200 - (planned[0]?.vendor.share ?? 0))).toBeLessThan(0.02);
  }
  const reporting = new Set(messages.map(({ source, deviceId }) => `${source} ${deviceId}`));
  expect(reporting.size).toBe(200);
  const webhookOnly = planFleet({ ...PLAN, ways: "webhooks" });
  expect(webhookOnly).toHaveLength(200);
  expect(webhookOnly.every(({ vendor }) => vendor.way.via === "webhook")).toBe(true);
});

const instant = z.iso.datetime();
const offsetInstant = z.iso.datetime({ offset: true });
const latitude = z.number().min(32).max(34).or(z.literal(0));
const longitude = z.number().min(-98).max(-96).or(z.literal(0));
const heading = z.number().min(0).lt(360);
const mph = z.number().min(0).max(80).or(z.literal(255));
const shapes: Record<FleetSource, z.ZodType> = {
  bouncie: z.strictObject({
    eventType: z.literal("tripData"),
    imei: z.string().regex(/^\d{15}$/),
    vin: z.string().length(17),
    transactionId: z.string(),
    data: z
      .array(
        z.strictObject({
          timestamp: instant,
          speed: mph,
          gps: z.strictObject({ lat: latitude, lon: longitude, heading: heading.int() }),
        }),
      )
      .min(1)
      .max(5),
  }),
  motive: z.strictObject({
    action: z.literal("vehicle_location_updated"),
    id: z.uuid(),
    vehicle_id: z.int(),
    located_at: instant,
    lat: latitude,
    lon: longitude,
    bearing: heading,
    engine_hours: z.number(),
    speed: mph,
    odometer: z.number(),
    fuel: z.null(),
    type: z.enum(["vehicle_moving", "vehicle_stopped"]),
    description: z.string(),
  }),
  traccar: z.strictObject({
    position: z.looseObject({
      fixTime: offsetInstant,
      deviceTime: offsetInstant,
      serverTime: offsetInstant,
      valid: z.boolean(),
      outdated: z.boolean(),
      latitude,
      longitude,
      // Knots.
      speed: z.number().min(0).max(70).or(z.literal(1023)),
      course: heading,
    }),
    device: z.looseObject({ uniqueId: z.string().regex(/^\d{15}$/) }),
  }),
  owntracks: z.looseObject({
    _type: z.literal("location"),
    tst: z.int(),
    lat: latitude,
    lon: longitude,
    // Kilometres per hour; the app leaves zeros out.
    vel: z.union([z.int().positive().max(130), z.literal(-1)]).optional(),
    cog: z.int().positive().max(359).optional(),
    topic: z.undefined().optional(),
  }),
  "owntracks-http": z.looseObject({
    _type: z.literal("location"),
    tst: z.int(),
    lat: latitude,
    lon: longitude,
    topic: z.string().regex(/^owntracks\/fleet\/phone\d+$/),
  }),
  hsl: z.strictObject({
    VP: z.looseObject({
      tst: instant,
      tsi: z.int(),
      // Metres per second.
      spd: z.number().min(0).max(35).or(z.literal(1023)).nullable(),
      hdg: z.int().min(0).max(360).nullable(),
      lat: latitude.nullable(),
      long: longitude.nullable(),
      loc: z.enum(["GPS", "N/A"]),
    }),
  }),
  json: z
    .array(
      z.strictObject({
        deviceId: z.string(),
        latitude,
        longitude,
        time: instant,
        speed: mph,
        speedUnit: z.literal("mph"),
        heading,
      }),
    )
    .min(1)
    .max(5),
};

describe.each(FLEET_SOURCES)("%s", (source) => {
  const sound = of(source, "positions", "late", "resend");

  test("its positions have the documented shape", () => {
    expect(sound.length).toBeGreaterThan(50);
    for (const { body } of sound) {
      const parsed = shapes[source].safeParse(JSON.parse(body));
      if (!parsed.success) expect.fail(`${z.prettifyError(parsed.error)}\n${body}`);
    }
  });

  test("the gateway reads every fix in them, and sees where each device is", () => {
    const settings = fleetSources(SECRETS)[source];
    const adapter = findAdapter(settings.vendor);
    if (!adapter) expect.fail(`no adapter for ${settings.vendor}`);
    for (const message of sound) {
      const result = decode(adapter, asReceived(message), {
        speedUnit: settings.speedUnit,
        credentials: { secrets: [] },
      });
      if (result.kind !== "decoded") expect.fail(`${result.kind}: ${message.body}`);
      expect(result.rawReadings).toHaveLength(message.fixes.length);
      for (const [index, fix] of message.fixes.entries()) {
        const rawReading = result.rawReadings[index];
        expect(rawReading?.deviceId).toBe(message.deviceId);
        // Some vendors write whole seconds.
        expect(Math.abs(Number(rawReading?.fixTime) - fix.time)).toBeLessThan(1000);
        if (fix.flaw === "no_fix") continue;
        expect([rawReading?.latitude, rawReading?.longitude]).toEqual([fix.latitude, fix.longitude]);
        const speedMps = rawReading?.speedMps ?? 0;
        if (fix.flaw === "speed_sentinel") expect(speedMps < 0 || speedMps > 100).toBe(true);
        // Half a unit of the coarsest speed a vendor writes, miles per hour.
        else expect(Math.abs(speedMps - fix.speedMps)).toBeLessThan(0.23);
      }
    }
  });

  test("its other messages are read as having no position, its malformed ones not at all", () => {
    const settings = fleetSources(SECRETS)[source];
    const adapter = findAdapter(settings.vendor);
    if (!adapter) expect.fail(`no adapter for ${settings.vendor}`);
    const kindOf = (message: FleetMessage) =>
      decode(adapter, asReceived(message), { speedUnit: settings.speedUnit, credentials: { secrets: [] } })
        .kind;
    for (const message of of(source, "event")) expect(kindOf(message)).toBe("ignored");
    for (const message of of(source, "test")) expect(kindOf(message)).toBe("handshake");
    for (const message of of(source, "malformed")) expect(kindOf(message)).toBe("malformed");
  });

  test("it authenticates, and does not where it should not", () => {
    const settings = fleetSources(SECRETS)[source];
    const { auth } = settings;
    const webhooks = messages.filter((message) => message.source === source && message.way.via === "webhook");
    if (settings.mqtt) {
      expect(webhooks).toEqual([]);
      return;
    }
    const authMethod = findAdapter(settings.vendor)?.auth.find(({ name }) => name === auth?.method);
    if (!authMethod || !auth) expect.fail(`no method ${auth?.method}`);
    const { secret, username } = auth;
    for (const message of webhooks) {
      const why = authMethod.verify(asReceived(message), {
        secrets: [secret],
        ...(username ? { username } : {}),
      });
      expect(why).toBe(message.kind === "unauthenticated" ? "wrong_credentials" : null);
    }
  });
});

function asReceived({ body, way, sendAt }: FleetMessage) {
  const about = { body: Buffer.from(body), receivedAt: sendAt, query: {}, retained: false };
  return way.via === "webhook"
    ? { ...about, method: "POST", headers: way.headers }
    : { ...about, headers: {}, topic: way.topic };
}

test("headers are those of the vendors", () => {
  const [bouncie] = of("bouncie", "positions");
  const [motive] = of("motive", "positions");
  const [traccar] = of("traccar", "positions");
  const [phone] = of("owntracks-http", "positions");
  const headers = (message: FleetMessage | undefined) =>
    message?.way.via === "webhook" && message.way.headers;
  const type = { "content-type": "application/json" };
  const key = SECRETS.bouncie;
  expect(headers(bouncie)).toEqual({ ...type, authorization: key, "x-bouncie-authorization": key });
  const signature = createHmac("sha1", Buffer.from(SECRETS.motive))
    .update(Buffer.from(motive?.body ?? ""))
    .digest("hex");
  expect(headers(motive)).toEqual({ ...type, "x-kt-webhook-signature": signature });
  expect(headers(traccar)).toEqual({ ...type, authorization: `Bearer ${SECRETS.traccar}` });
  const basic = Buffer.from(`phones:${SECRETS["owntracks-http"]}`).toString("base64");
  const [user, device] = phone?.deviceId.split("/") ?? [];
  expect(headers(phone)).toEqual({
    ...type,
    authorization: `Basic ${basic}`,
    "x-limit-u": user,
    "x-limit-d": device,
  });
});

test("topics are those of the vendors", () => {
  for (const { way, deviceId } of of("owntracks", "positions")) {
    expect(way).toEqual({ via: "mqtt", topic: `owntracks/${deviceId}`, qos: 1 });
  }
  for (const { way, fixes, body } of of("hsl", "positions")) {
    const topic = way.via === "mqtt" ? way.topic : "";
    const levels = topic.split("/");
    expect(levels.slice(0, 7)).toEqual(["", "hfp", "v2", "journey", "ongoing", "vp", "bus"]);
    expect(levels).toHaveLength(19);
    const [fix] = fixes;
    if (fix?.flaw === "no_fix") {
      expect(topic).toMatch(/\/0\/\/\/\/$/);
      expect(JSON.parse(body)).toMatchObject({
        VP: { lat: null, long: null, spd: null, hdg: null, loc: "N/A" },
      });
    } else if (fix?.flaw === "none") {
      expect(levels.slice(14, 16)).toEqual(["5", "32;-96"]);
    }
  }
});

describe("what goes wrong on purpose", () => {
  const share = (kind: MessageKind) =>
    messages.filter((message) => message.kind === kind).length / messages.length;

  test("happens in about the planned shares", () => {
    expect(share("resend")).toBeGreaterThan(0.005);
    expect(share("resend")).toBeLessThan(0.015);
    for (const kind of ["late", "malformed", "unauthenticated", "event"] as const) {
      expect(share(kind)).toBeGreaterThan(0);
      expect(share(kind)).toBeLessThan(0.03);
    }
    expect(messages.filter(({ kind }) => kind === "test").map(({ source }) => source)).toEqual(["motive"]);
  });

  test("resends repeat earlier bytes", () => {
    const known = new Set(messages.filter(({ kind }) => kind === "positions").map(({ body }) => body));
    for (const { body } of messages.filter(({ kind }) => kind === "resend")) expect(known).toContain(body);
  });

  test("late ones come after newer ones of their device", () => {
    const newest = new Map<string, number>();
    const late: FleetMessage[] = [];
    for (const message of messages) {
      const time = message.fixes[0]?.time;
      if (time === undefined) continue;
      const before = newest.get(message.deviceId) ?? 0;
      if (message.kind === "late" && time < before) late.push(message);
      newest.set(message.deviceId, Math.max(before, time));
    }
    expect(late.length).toBeGreaterThan(0);
  });

  test("every flaw of a fix occurs, and few fixes have one", () => {
    const fixes = messages.flatMap((message) => message.fixes);
    const count = (flaw: string) => fixes.filter((fix) => fix.flaw === flaw).length;
    for (const flaw of ["no_fix", "null_island", "speed_sentinel"]) expect(count(flaw)).toBeGreaterThan(0);
    expect(count("none") / fixes.length).toBeGreaterThan(0.9);
    for (const fix of fixes)
      expect(fix.latitude === 0 && fix.longitude === 0).toBe(fix.flaw === "null_island");
  });

  test("none of it in a clean fleet, but for tunnels", () => {
    expect(planFleet({ ...PLAN, clean: true }).every(({ habits }) => habits.clockErrorMs === 0)).toBe(true);
    const sent = run(10, { clean: true });
    const kinds = new Set(sent.map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual(["event", "late", "positions", "resend", "test"]);
    const flaws = new Set(sent.flatMap(({ fixes }) => fixes.map(({ flaw }) => flaw)));
    expect([...flaws].sort()).toEqual(["no_fix", "none"]);
  });

  test("a few clocks are off, one is far ahead, one vehicle goes silent", () => {
    const devices = planFleet(PLAN);
    const withClock = (errorMs: number) =>
      devices.filter(({ habits }) => habits.clockErrorMs === errorMs).length;
    expect([90_000, -240_000, 600_000, 0].map(withClock)).toEqual([4, 2, 1, 193]);
    expect(planFleet({ ...PLAN, vehicles: 19 }).every(({ habits }) => habits.clockErrorMs === 0)).toBe(true);
    const ahead = devices.find(({ habits }) => habits.clockErrorMs === 90_000);
    const own = messages.find(({ deviceId, kind }) => deviceId === ahead?.id && kind === "positions");
    expect((own?.fixes[0]?.time ?? 0) - (own?.sendAt ?? 0)).toBeGreaterThan(70_000);
    const silent = devices.filter(({ silentAfterMs }) => silentAfterMs < Number.POSITIVE_INFINITY);
    expect(silent).toHaveLength(1);
    const last = messages.filter(({ deviceId }) => deviceId === silent[0]?.id).at(-1);
    expect((last?.sendAt ?? 0) - START_MS).toBeLessThan(125_000);
  });
});

test("a speeded-up fleet reports more often, but not more than once a second", () => {
  const faster = run(1, { speedup: 4 });
  expect(faster.length).toBeGreaterThan(2 * run(1).length);
  const times = new Map<string, number[]>();
  for (const { source, deviceId, kind, fixes } of faster) {
    if (kind === "resend") continue;
    const key = `${source} ${deviceId}`;
    times.set(key, [...(times.get(key) ?? []), ...fixes.map(({ time }) => time)]);
  }
  for (const own of times.values()) {
    const sorted = own.sort((a, b) => a - b);
    for (const [index, time] of sorted.entries()) {
      if (index > 0) expect(time - (sorted[index - 1] ?? 0)).toBeGreaterThanOrEqual(1000);
    }
  }
});
