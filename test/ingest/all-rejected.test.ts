/** Messages of which every reading is rejected: answered 200, since a resend helps nobody, and a problem after three. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { json } from "../../src/adapters/json/json.ts";
import { asAuthenticated } from "../../src/adapters/kit/adapter.ts";
import { owntracks } from "../../src/adapters/owntracks.ts";
import { traccar } from "../../src/adapters/traccar.ts";
import { createIngest } from "../../src/ingest/ingest.ts";
import { answerTo } from "../../src/inputs/webhook/answers.ts";
import { diagnoseSource } from "../../src/ops/diagnose/source.ts";
import { startTestQueue, type TestQueue } from "../support/queue.ts";
import { until } from "../support/wait.ts";

const NOW = Date.now();
const WEEKS_1024_S = 1024 * 7 * 86_400;
const seconds = (ago: number) => Math.floor(NOW / 1000) - ago;
const own = (i: number, changes: object) => ({
  ...{ deviceId: "van-1", latitude: 32.78, longitude: -96.8, speed: 10 },
  ...{ time: new Date(NOW - i * 1000).toISOString(), ...changes },
});
const phone = (i: number, changes: object) => ({
  _type: "location",
  tid: "an",
  topic: "owntracks/ann/phone",
  lat: 32.78,
  lon: -96.8,
  tst: seconds(i),
  ...changes,
});

/** Three messages of each, with the reason for which all of their readings are rejected. */
const CASES = {
  "two-hours-old": {
    adapter: json,
    reason: "too_old",
    message: (i: number) => own(i, { time: new Date(NOW - 7_200_000 - i).toISOString() }),
  },
  "an-hour-ahead": {
    adapter: json,
    reason: "in_future",
    message: (i: number) => own(i, { time: new Date(NOW + 3_600_000 + i).toISOString() }),
  },
  "at-null-island": {
    adapter: json,
    reason: "null_island",
    message: (i: number) => own(i, { latitude: 0, longitude: 0 }),
  },
  microdegrees: {
    adapter: json,
    reason: "latitude_out_of_range",
    message: (i: number) => own(i, { latitude: 32_780_000, longitude: -96_800_000 }),
  },
  // Rolled over and old besides, so that no correction makes it current.
  "rolled-over": {
    adapter: owntracks,
    reason: "too_old",
    message: (i: number) => phone(i, { tst: seconds(i + 7200) - WEEKS_1024_S }),
  },
  // Of three vehicles: one alone may be in a tunnel, and has two minutes.
  "no-fix": {
    adapter: traccar,
    reason: "no_fix",
    message: (i: number) => ({
      position: {
        id: i,
        valid: false,
        fixTime: new Date(NOW - i * 1000).toISOString(),
        latitude: 32.78,
        longitude: -96.8,
        speed: 0,
        course: 0,
      },
      device: { id: 1, uniqueId: `86120503004771${i}`, name: "Van" },
    }),
  },
} as const;

let rig: TestQueue;
beforeAll(async () => {
  rig = await startTestQueue({
    moreSources: Object.fromEntries(Object.keys(CASES).map((name) => [name, {}])),
  });
});
afterAll(() => rig.close());

it.each(Object.entries(CASES))(
  "%s: 200, said in the body, and told after three",
  async (name, { adapter, reason, message }) => {
    const nothing = () => {};
    const ingest = createIngest({
      store: rig.queue.store,
      events: {
        ...{ fixSeen: nothing, messageMalformed: nothing, readingRejected: nothing, incident: nothing },
        ...{ messageDeferred: nothing, messageRefused: nothing, ingestFailed: nothing },
      },
    });
    const source = { name, adapter, authMethod: null, credentials: { secrets: [] }, maxAgeMs: 600_000 };
    for (let i = 0; i < 3; i++) {
      const body = Buffer.from(JSON.stringify(message(i)));
      const headers = { "content-type": "application/json", "x-limit-u": "ann", "x-limit-d": "phone" };
      const sent = { body, receivedAt: Date.now(), method: "POST", headers, query: {}, retained: false };
      const result = await ingest.ingest(source, asAuthenticated(sent));
      expect(result).toMatchObject({ kind: "stored", stored: 0, rejections: [{ reason }] });
      const answer = answerTo(source, result);
      expect(answer.status).toBe(200);
      // Where the vendor wants its own words, the page alone says it.
      if (adapter.reply === undefined)
        expect(await answer.json()).toMatchObject({ stored: 0, rejected: [{ reason }] });
    }
    const found = await until(
      async () => {
        const { sources } = await rig.queue.queryStatus();
        const status = sources.find((each) => each.name === name);
        return status && diagnoseSource(status, Date.now()).find(({ kind }) => kind === "readings_rejected");
      },
      { withinMs: 5000, what: "the problem" },
    );
    expect(found).toMatchObject({ severity: "error", where: `source ${name}` });
    expect(found.what).toContain(reason);
  },
);
