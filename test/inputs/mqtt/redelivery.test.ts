/** When a message that is delivered again came first. */

import { expect, test } from "vitest";
import { createRedelivery } from "../../../src/inputs/mqtt/redelivery.ts";

const sent = (text: string, dup = false) => ({ topic: "fleet/van", body: Buffer.from(text), dup });

test("a redelivery has the time of the first delivery, however often it comes", () => {
  const redelivery = createRedelivery<number>(10);
  expect(redelivery.firstReceivedAt(1, sent("here"), 1000)).toBe(1000);
  expect(redelivery.firstReceivedAt(1, sent("here", true), 2000)).toBe(1000);
  expect(redelivery.firstReceivedAt(1, sent("here", true), 3000)).toBe(1000);
});

test("a packet id that is used again means another message", () => {
  const redelivery = createRedelivery<number>(10);
  redelivery.firstReceivedAt(1, sent("here"), 1000);
  expect(redelivery.firstReceivedAt(1, sent("there", true), 2000)).toBeNull();
  expect(redelivery.firstReceivedAt(1, { ...sent("here", true), topic: "fleet/truck" }, 2000)).toBeNull();
  expect(redelivery.firstReceivedAt(1, sent("here"), 3000)).toBe(3000);
  expect(redelivery.firstReceivedAt(1, sent("here", true), 4000)).toBe(3000);
});

test("the latest messages are remembered, redelivered ones among them", () => {
  const redelivery = createRedelivery<number>(2);
  redelivery.firstReceivedAt(1, sent("a"), 1000);
  redelivery.firstReceivedAt(2, sent("b"), 2000);
  redelivery.firstReceivedAt(1, sent("a", true), 3000);
  redelivery.firstReceivedAt(3, sent("c"), 4000);
  expect(redelivery.firstReceivedAt(2, sent("b", true), 5000)).toBeNull();
  expect(redelivery.firstReceivedAt(1, sent("a", true), 5000)).toBe(1000);
  expect(redelivery.firstReceivedAt(3, sent("c", true), 5000)).toBe(4000);
});
