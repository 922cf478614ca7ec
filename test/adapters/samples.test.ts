/** Messages put together by others from the vendors' documentation, with the readings they expect; not in this repository. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import type { Adapter, Credentials, Message } from "../../src/adapters/kit/adapter.ts";
import { createAssembler } from "../../src/ingest/assembler.ts";
import { validate } from "../../src/reading.ts";
import { because, howToGet } from "../support/because.ts";
import type { ExpectedReading } from "../support/conversations.ts";
import { decode, examine } from "../support/decode.ts";
import { lowerCased } from "../support/fixtures.ts";

/** Collected one after another; the last holds inputs of bug reports, without a proof of their senders. */
const SETS = ["samples", "samples-2", "cases"].map(
  (name) => new URL(`../../../shared/${name}/`, import.meta.url),
);
const noSamples = SETS.every((set) => existsSync(set)) ? null : howToGet("samples");

/** All but our own format, a customary one (home-made), one whose webhook is documented in parts only (zubie), and those that are polled. */
const VENDORS_WITH_SAMPLES = 43;
/** The one user among all samples. */
const USERNAME = "gateway";
/** What the samples assume of vendors that do not document their unit of speed. */
const assumedUnit = (vendor: string) => (vendor === "garmin-inreach" ? "kph" : "mph");

/** These name the device by its id also by MQTT, where the others name it by the number of its hardware. */
const BY_DEVICE_ID = "samples-2/mqtt/the-things-stack/";

interface Sample {
  name: string;
  adapter: Adapter;
  message: Message;
  /** Where one position is spread over several: those that came before it. */
  before?: readonly Message[];
  /** Null where the message shows no proof. */
  credentials: Credentials | null;
  expected: ExpectedReading[];
}

const samples =
  noSamples === null
    ? SETS.flatMap((set) =>
        adapters.flatMap((adapter) => [...webhookSamples(set, adapter), ...mqttSamples(set, adapter)]),
      )
    : [];

describe.skipIf(noSamples !== null)(`samples${because(noSamples)}`, () => {
  it("are read to the last folder, and are there for every vendor they were made for", () => {
    const read = [...new Set(samples.map(({ adapter }) => adapter.vendor))].sort();
    const folders = SETS.flatMap((set) =>
      ["webhooks", "mqtt"].flatMap((way) =>
        readdirSync(new URL(`${way}/`, set), { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => name),
      ),
    );
    expect(read).toEqual([...new Set(folders)].sort());
    // A vendor that is added has fixtures of its own; these samples were made before, for the vendors of then.
    expect(read.length).toBeGreaterThanOrEqual(VENDORS_WITH_SAMPLES);
  });

  it.each(samples.map((sample) => [sample.name, sample] as const))(
    "%s gives the readings expected",
    (name, sample) => {
      const { adapter, message, before = [], expected } = sample;
      const given = name.startsWith(BY_DEVICE_ID) ? { deviceId: "device_id" } : undefined;
      const speedUnit = adapter.speedUnit === "required" ? assumedUnit(adapter.vendor) : undefined;
      const settings = { speedUnit, options: adapter.options?.parse(given) } as const;
      const assembler = createAssembler();
      const examined = [...before, message].map((sent) => examine(adapter, sent, settings, assembler));
      for (const { kind } of examined) expect(kind).not.toBe("malformed");
      expectReadings(
        examined.flatMap(({ readings }) => readings),
        expected,
      );
    },
  );

  const proven = samples.flatMap(({ credentials, ...sample }) =>
    credentials === null || sample.message.topic !== undefined ? [] : [{ ...sample, credentials }],
  );

  it.each(proven.map((sample) => [sample.name, sample] as const))(
    "%s is proven as sent and not otherwise",
    (_, sample) => {
      const { adapter, message, credentials } = sample;
      const authMethods = adapter.auth.filter(
        (authMethod) => authMethod.verify(message, credentials) === null,
      );
      expect(authMethods).not.toEqual([]);
      const others = credentials.secrets.map((secret) => `u${secret.slice(1)}`);
      for (const authMethod of authMethods) {
        expect(authMethod.verify(message, { ...credentials, secrets: others })).not.toBeNull();
        if (!authMethod.name.startsWith("hmac-")) continue;
        for (let index = 0; index < message.body.length; index++) {
          const body = Uint8Array.from(message.body);
          body[index] = (body[index] ?? 0) ^ 1;
          expect(
            authMethod.verify({ ...message, body }, credentials),
            `byte ${index} altered`,
          ).not.toBeNull();
        }
      }
    },
  );
});

const CAPTURE = new URL("../../../shared/data/hsl-hfp-mqtt/raw/mqtt-capture.jsonl.gz", import.meta.url);
const noCapture = existsSync(CAPTURE) ? null : howToGet("data");

describe.skipIf(noCapture !== null)(`recorded vehicles${because(noCapture)}`, () => {
  it("are read line by line as recorded", () => {
    const lines = (file: URL) =>
      gunzipSync(readFileSync(file))
        .toString()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    const adapter = adapters.find(({ vendor }) => vendor === "hsl-hfp");
    if (!adapter) throw new Error("no adapter for hsl-hfp");
    const counts = { ignored: 0, rejected: 0, readings: 0 };
    const got: unknown[] = [];
    for (const { receivedAt, topic, payload } of lines(CAPTURE)) {
      const message = {
        body: Buffer.from(payload),
        receivedAt: Date.parse(receivedAt),
        topic,
        headers: {},
        query: {},
        retained: false,
      };
      const result = decode(adapter, message, { credentials: { secrets: [] } });
      if (result.kind === "ignored") counts.ignored++;
      else if (result.kind !== "decoded") throw new Error(`${topic} is ${result.kind}`);
      else {
        for (const rawReading of result.rawReadings) {
          const verdict = validate(rawReading, {
            receivedAt: message.receivedAt,
            maxAgeMs: Infinity,
            maxAheadMs: Infinity,
            retained: false,
          });
          if (verdict.kind === "rejected") {
            expect(verdict.rejection.reason).toBe("no_fix");
            counts.rejected++;
            continue;
          }
          const { deviceId, fixTime, latitude, longitude, speedMps, headingDeg } = verdict.reading;
          counts.readings++;
          got.push({ vehicle: deviceId, t: fixTime, lat: latitude, lon: longitude, speedMps, headingDeg });
        }
      }
    }
    expect(counts).toEqual({ ignored: 13, rejected: 940, readings: 1045 });
    const recorded = lines(new URL("../positions.jsonl.gz", CAPTURE)).map((line) => ({
      ...line,
      t: Date.parse(line.t),
      // One doubtful speed of -1 is recorded as it came.
      speedMps: line.speedMps < 0 ? null : line.speedMps,
      // A heading has two names for north.
      headingDeg: line.headingDeg === 360 ? 0 : line.headingDeg,
    }));
    const sorted = (all: unknown[]) =>
      all.map((line) => JSON.stringify(line, Object.keys(line as object).sort())).sort();
    expect(sorted(got)).toEqual(sorted(recorded));
  });
});

function expectReadings(
  readings: ReturnType<typeof examine>["readings"],
  expected: readonly ExpectedReading[],
): void {
  expect(readings.map(({ deviceId, fixTime, headingDeg }) => ({ deviceId, fixTime, headingDeg }))).toEqual(
    expected.map(({ unitId, timeUtc, headingDeg }) => ({ deviceId: unitId, fixTime: timeUtc, headingDeg })),
  );
  for (const [index, { latitude, longitude, speedMps }] of readings.entries()) {
    const should = expected[index] ?? { latitude: Number.NaN, longitude: Number.NaN, speedKph: null };
    expect(Math.abs(latitude - should.latitude)).toBeLessThanOrEqual(1e-7);
    expect(Math.abs(longitude - should.longitude)).toBeLessThanOrEqual(1e-7);
    if (speedMps === null || should.speedKph === null) expect(speedMps).toBe(should.speedKph);
    else expect(Math.abs(speedMps * 3.6 - should.speedKph)).toBeLessThanOrEqual(0.01);
  }
}

/** As `samples/README.md` has it: what stands in the file is the body, or describes a request. */
function webhookSamples(set: URL, adapter: Adapter): Sample[] {
  return casesOf(set, `webhooks/${adapter.vendor}/`).map(({ name, caseName, folder, json }) => {
    const expected = json("expected");
    const sent = readFileSync(new URL(`${caseName}.json`, folder));
    if (!existsSync(new URL(`${caseName}.headers.json`, folder))) {
      const headers = { "content-type": "application/json" };
      const { receivedAt } = json("meta");
      const message = { body: sent, method: "POST", headers, query: {}, retained: false };
      return {
        ...{ name, adapter, credentials: null, expected },
        message: { ...message, receivedAt: Date.parse(receivedAt) },
      };
    }
    const described = JSON.parse(sent.toString()).$request;
    const { method, path, headers, auth } = json("headers");
    const { searchParams } = new URL(described?.path ?? path, "http://gateway");
    const signedAtS = headers[String(auth.timestampHeader).split(" ")[0] ?? ""];
    const message = {
      body: described ? Buffer.from(described.body ?? "") : sent,
      method: described?.method ?? method,
      headers: lowerCased({ ...(described ? { "content-type": described.contentType } : {}), ...headers }),
      // Where the vendor can send no secret, the operator puts one into the URL.
      query: { ...Object.fromEntries(searchParams), ...(auth.header ? {} : { token: auth.secret }) },
      receivedAt: signedAtS === undefined ? Date.UTC(2026, 9, 14, 18) : Number(signedAtS) * 1000,
      retained: false,
    };
    const credentials = {
      secrets: [auth.configuredSecretBase64 ?? auth.secret],
      username: USERNAME,
      ...(auth.header ? { header: auth.header } : {}),
    };
    // A vendor's own signature, which no secret of the customer makes.
    return { name, adapter, message, credentials: auth.secret === null ? null : credentials, expected };
  });
}

function mqttSamples(set: URL, adapter: Adapter): Sample[] {
  return casesOf(set, `mqtt/${adapter.vendor}/`).map(({ name, caseName, folder, json }) => {
    const sent = mqttMessages(caseName, folder, json);
    const message = sent.at(-1);
    if (!message) throw new Error(`${name} holds no message`);
    return {
      ...{ name, adapter, message, credentials: null },
      before: sent.slice(0, -1),
      expected: json("expected"),
    };
  });
}

function mqttMessages(name: string, folder: URL, json: (part: string) => ReturnType<typeof JSON.parse>) {
  const message = (topic: string, body: Buffer, receivedAt: string, retained: boolean): Message => ({
    ...{ topic, body, retained, receivedAt: Date.parse(receivedAt) },
    ...{ headers: {}, query: {} },
  });
  if (existsSync(new URL(`${name}.sequence.json`, folder))) {
    const sequence: { topic: string; payload: string; receivedAt: string; retain?: boolean }[] =
      json("sequence");
    return sequence.map(({ topic, payload, receivedAt, retain = false }) =>
      message(topic, Buffer.from(payload), receivedAt, retain),
    );
  }
  const file = [`${name}.json`, `${name}.txt`].find((rawReading) => existsSync(new URL(rawReading, folder)));
  const topic = readFileSync(new URL(`${name}.topic.txt`, folder), "utf8").trim();
  const { receivedAt, retain } = json("meta");
  return [message(topic, readFileSync(new URL(file ?? name, folder)), receivedAt, retain === true)];
}

function casesOf(set: URL, path: string) {
  const folder = new URL(path, set);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(".expected.json"))
    .map((file) => {
      const caseName = file.replace(".expected.json", "");
      const json = (part: string) =>
        JSON.parse(readFileSync(new URL(`${caseName}.${part}.json`, folder), "utf8"));
      return { name: `${basename(set.pathname)}/${path}${caseName}`, caseName, folder, json };
    });
}
