/** When a message that is sent again came first. */

import { expect, test } from "vitest";
import { createFirstArrivals } from "../../../src/inputs/mqtt/redelivery.ts";

const said = (text: string, dup = false) => ({ topic: "fleet/van", body: Buffer.from(text), dup });

test("a resend has the time of the first, however often it comes", () => {
  const arrivals = createFirstArrivals<number>(10);
  expect(arrivals.of(1, said("here"), 1000)).toBe(1000);
  expect(arrivals.of(1, said("here", true), 2000)).toBe(1000);
  expect(arrivals.of(1, said("here", true), 3000)).toBe(1000);
});

test("a packet id that is used again means another message", () => {
  const arrivals = createFirstArrivals<number>(10);
  arrivals.of(1, said("here"), 1000);
  expect(arrivals.of(1, said("there", true), 2000)).toBeNull();
  expect(arrivals.of(1, { ...said("here", true), topic: "fleet/truck" }, 2000)).toBeNull();
  expect(arrivals.of(1, said("here"), 3000)).toBe(3000);
  expect(arrivals.of(1, said("here", true), 4000)).toBe(3000);
});

test("the latest are remembered, resends among them", () => {
  const arrivals = createFirstArrivals<number>(2);
  arrivals.of(1, said("a"), 1000);
  arrivals.of(2, said("b"), 2000);
  arrivals.of(1, said("a", true), 3000);
  arrivals.of(3, said("c"), 4000);
  expect(arrivals.of(2, said("b", true), 5000)).toBeNull();
  expect(arrivals.of(1, said("a", true), 5000)).toBe(1000);
  expect(arrivals.of(3, said("c", true), 5000)).toBe(4000);
});
