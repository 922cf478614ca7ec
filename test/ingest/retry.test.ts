/** Messages that cannot be kept at once are offered again, and each device's stay in the order they came. */

import { expect, test } from "vitest";
import { type Authenticated, asAuthenticated } from "../../src/adapters/kit/adapter.ts";
import { createRetryOrder, ingestWithRetry } from "../../src/ingest/retry.ts";
import { StoreError } from "../../src/ingest/store.ts";
import { memoryStore } from "../support/memory-store.ts";
import { ingestOver, mqttSource } from "../support/plain-vendor.ts";

const DEVICES = ["a", "b", "c"];
const MESSAGES = 12;

function messageOf(id: string, t: number): Authenticated {
  const body = Buffer.from(JSON.stringify({ id, t, lat: 32.78, lon: -96.8 }));
  const message = {
    body,
    receivedAt: Date.now(),
    headers: {},
    query: {},
    topic: `fleet/${id}`,
    retained: false,
  };
  return asAuthenticated(message);
}

test("what came while nothing could be kept is kept in the order it came, device by device", async () => {
  const store = memoryStore();
  let refusals = 3 * MESSAGES;
  store.before = () => {
    if (refusals-- > 0) throw new StoreError("storage_unavailable", 1);
  };
  const { ingest } = ingestOver(store);
  const source = mqttSource("fleet");
  const order = createRetryOrder();
  const startedAt = Date.now() - 1000;
  const offers = Array.from({ length: MESSAGES }, (_, n) =>
    DEVICES.map((device) =>
      ingestWithRetry({
        ingest,
        source,
        message: messageOf(device, startedAt + n),
        giveUp: () => false,
        onError: () => {},
        inOrder: { order, key: device },
      }),
    ),
  ).flat();
  const results = await Promise.all(offers);
  expect(results.every((result) => result?.kind === "stored")).toBe(true);
  for (const device of DEVICES) {
    const times = store.stored().flatMap((stored) => (stored.deviceId === device ? [stored.fixTime] : []));
    expect(times).toEqual(Array.from({ length: MESSAGES }, (_, n) => startedAt + n));
  }
  expect(order.waiting.size).toBe(0);
});

test("whoever waits behind a message that is given up is not stuck behind it", async () => {
  const store = memoryStore();
  let open = false;
  store.before = () => {
    if (!open) throw new StoreError("storage_unavailable", 1);
  };
  const { ingest } = ingestOver(store);
  const order = createRetryOrder();
  let gone = false;
  const offers = [true, false].map((isGivenUp, n) =>
    ingestWithRetry({
      ingest,
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
  expect(second?.kind).toBe("stored");
});
