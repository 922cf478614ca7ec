/** The rejections of one message by device and reason: counted together, bounded, the last of each device first. */

import { expect, test } from "vitest";
import type { Message } from "../../src/adapters/kit/adapter.ts";
import { createDeviceRejections } from "../../src/ingest/device-rejections.ts";
import type { RawReading, RejectionReason } from "../../src/reading.ts";

const RECEIVED_AT = 1_764_500_000_000;

function rejectionsOf(
  given: readonly [device: string | null, reason: RejectionReason, fixTime?: RawReading["fixTime"]][],
  changes: Partial<Message> = {},
) {
  const message = { body: Buffer.of(), receivedAt: RECEIVED_AT, headers: {}, query: {}, retained: false };
  const rejections = createDeviceRejections({ ...message, ...changes });
  given.forEach(([deviceId, reason, fixTime = RECEIVED_AT - 1000], i) => {
    const path = `[${i}]`;
    const numbers = { latitude: 1, longitude: 1, speedMps: null, headingDeg: null };
    rejections.add({ reason, path }, { deviceId, fixTime, path, ...numbers });
  });
  return rejections.bounded();
}

test("those of one device and reason are one, with the last path and fix, and the least and greatest offset", () => {
  expect(
    rejectionsOf([
      ["a", "too_old", RECEIVED_AT - 9000],
      ["a", "no_fix"],
      ["a", "too_old", RECEIVED_AT - 7000.5],
    ]),
  ).toEqual([
    {
      device: "a",
      reason: "too_old",
      count: 2,
      path: "[2]",
      fixTime: RECEIVED_AT - 7001,
      offsetMs: { least: 7001, greatest: 9000 },
    },
    expect.objectContaining({ device: "a", reason: "no_fix", count: 1 }),
  ]);
});

test.each([[null], [""], ["x".repeat(129)], ["a\u0000b"], ["\ud800"]])(
  "no device is told of %j",
  (device) => {
    expect(rejectionsOf([[device, "bad_device"]])).toMatchObject([{ device: null }]);
  },
);

test.each([[null], ["at_receipt" as const], [Number.NaN], [-1], [9e15]])("%s is no fix time", (fixTime) => {
  expect(rejectionsOf([["a", "bad_time", fixTime]])).toMatchObject([{ fixTime: null, offsetMs: null }]);
});

test.each([{ retained: true }, { resent: true }])("%o says nothing of a clock", (changes) => {
  expect(rejectionsOf([["a", "too_old"]], changes)).toMatchObject([
    { fixTime: RECEIVED_AT - 1000, offsetMs: null },
  ]);
});

test("of more than 20 the last of each device come first", () => {
  const many = Array.from(
    { length: 30 },
    (_, i) => [`v${Math.floor(i / 2)}`, i % 2 ? "no_fix" : "too_old"] as const,
  );
  const told = rejectionsOf(many.map(([device, reason]) => [device, reason]));
  expect(told).toHaveLength(20);
  expect(told.slice(0, 15).map(({ device, reason }) => [device, reason])).toEqual(
    Array.from({ length: 15 }, (_, i) => [`v${i}`, "no_fix"]),
  );
  const crowd = Array.from({ length: 5000 }, (_, i) => [`v${i}`, "no_fix"] as [string, RejectionReason]);
  expect(rejectionsOf(crowd)).toHaveLength(20);
});
