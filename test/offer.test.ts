/** Messages that cannot be kept at once are offered again, and each device's stay in the order they came. */

import { expect, test } from "vitest";
import type { Message } from "../src/adapters/kit/adapter.ts";
import { CannotKeep } from "../src/ingest/ingest.ts";
import { createOfferOrder, offer } from "../src/ingest/retry.ts";
import { memoryKeep } from "./support/memory-keep.ts";
import { intakeOver, mqttSource } from "./support/plain-vendor.ts";

const DEVICES = ["a", "b", "c"];
const MESSAGES = 12;

function messageOf(id: string, t: number): Message {
  const body = Buffer.from(JSON.stringify({ id, t, lat: 32.78, lon: -96.8 }));
  return { body, receivedAt: Date.now(), headers: {}, query: {}, topic: `fleet/${id}`, retained: false };
}

test("what came while nothing could be kept is kept in the order it came, device by device", async () => {
  const keep = memoryKeep();
  let refusals = 3 * MESSAGES;
  keep.before = () => {
    if (refusals-- > 0) throw new CannotKeep("storage_unavailable", 1);
  };
  const { intake } = intakeOver(keep);
  const source = mqttSource("fleet");
  const order = createOfferOrder();
  const startedAt = Date.now() - 1000;
  const offers = Array.from({ length: MESSAGES }, (_, n) =>
    DEVICES.map((device) =>
      offer({
        intake,
        source,
        message: messageOf(device, startedAt + n),
        giveUp: () => false,
        onError: () => {},
        inOrder: { order, key: device },
      }),
    ),
  ).flat();
  const results = await Promise.all(offers);
  expect(results.every((result) => result?.kind === "kept")).toBe(true);
  for (const device of DEVICES) {
    const times = keep.kept().flatMap((kept) => (kept.deviceId === device ? [kept.fixTime] : []));
    expect(times).toEqual(Array.from({ length: MESSAGES }, (_, n) => startedAt + n));
  }
  expect(order.waiting.size).toBe(0);
});

test("whoever waits behind a message that is given up is not stuck behind it", async () => {
  const keep = memoryKeep();
  let open = false;
  keep.before = () => {
    if (!open) throw new CannotKeep("storage_unavailable", 1);
  };
  const { intake } = intakeOver(keep);
  const order = createOfferOrder();
  let gone = false;
  const offers = [true, false].map((isGivenUp, n) =>
    offer({
      intake,
      source: mqttSource("fleet"),
      message: messageOf("a", Date.now() - 1000 + n),
      giveUp: () => isGivenUp && gone,
      onError: () => {},
      inOrder: { order, key: "a" },
    }),
  );
  gone = true;
  open = true;
  const [first, second] = await Promise.all(offers);
  expect(first).toBeNull();
  expect(second?.kind).toBe("kept");
});
