/** A page of Geotab's that is not quite JSON is read all the same, or its cursor could never be passed. */

import { expect, it } from "vitest";
import { geotab } from "../../src/adapters/geotab.ts";
import type { Message } from "../../src/adapters/kit/adapter.ts";
import type { PullContext, PullResult } from "../../src/adapters/kit/pull.ts";
import { decode } from "../support/decode.ts";
import { pullOf } from "../support/polling.ts";

const session = {
  login: { baseUrl: "https://my.geotab.com", credentials: {} },
  names: new Map([["b1", 'Van "NaN" \\']]),
  namesAfter: null,
  nameless: new Set(),
};

function understood(text: string): PullResult {
  const account = { secret: "s" };
  const context: PullContext = {
    ...{
      baseUrl: "https://my.geotab.com",
      account,
      options: undefined,
      cursor: null,
      now: 0,
      kept: {},
      since: 0,
      session,
    },
  };
  return pullOf("geotab").parse({ status: 200, headers: {}, text }, context);
}

function candidatesOf(text: string) {
  const page = understood(text);
  if (page.kind !== "page" || page.body === null) throw new Error(`a ${page.kind}`);
  const message: Message = {
    ...{ body: Buffer.from(page.body), receivedAt: 0, headers: {}, query: {}, retained: false },
  };
  const result = decode(geotab, message, { credentials: { secrets: [] } });
  if (result.kind !== "decoded") throw new Error(`was ${result.kind}`);
  return { page, rawReadings: result.rawReadings };
}

const row = (speed: string, id = '"b1"') =>
  `{"device":{"id":${id}},"dateTime":"2026-10-26T15:00:00Z","latitude":45.5,"longitude":-73.57,"speed":${speed}}`;
const feed = (...rows: string[]) =>
  `{"result":{"data":[${rows.join(",")}],"toVersion":"0a"},"jsonrpc":"2.0"}`;

it.each(["NaN", "Infinity", "-Infinity", " NaN "])("takes a bare %s for a speed not said", (bare) => {
  const { page, rawReadings } = candidatesOf(feed(row(bare), row("54")));
  expect(page).toMatchObject({ cursor: "0a" });
  expect(rawReadings.map(({ speedMps }) => speedMps)).toEqual([null, 15]);
});

it("leaves texts as they are, whatever they hold", () => {
  const { rawReadings } = candidatesOf(
    feed(row("NaN", '"NaN"'), row("1", '"a\\\\\\":NaN,Infinity"'), row("1")),
  );
  expect(rawReadings.map(({ deviceId }) => deviceId)).toEqual(["NaN", 'a\\":NaN,Infinity', "b1"]);
  expect(rawReadings[2]?.details?.deviceName).toBe('Van "NaN" \\');
});

it("mends nothing else", () => {
  for (const broken of ["nan", "NaNs", "undefined", "-", "1e"]) {
    expect(understood(feed(row(broken))), broken).toMatchObject({ reason: "unreadable_answer" });
  }
  for (const text of ["", '"', '"\\', "NaN", feed(row("NaN")).slice(0, -1)]) {
    expect(understood(text), text).toMatchObject({ reason: "unreadable_answer" });
  }
});

it("needs no longer for an answer made to be slow", () => {
  const startedAt = performance.now();
  for (const text of [
    '"'.repeat(2_000_001),
    `"${'\\"'.repeat(1_000_000)}`,
    "NaN".repeat(600_000),
    "-".repeat(2e6),
  ]) {
    expect(understood(text)).toMatchObject({ reason: "unreadable_answer" });
  }
  // Milliseconds in fact; with time squared it would be hours.
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});
