/** A source that sends much at once is read at its pace; another one is not held up by it. */

import { expect, test } from "vitest";
import { createBodyPace } from "../../../src/inputs/webhook/body-pace.ts";
import { until } from "../../support/wait.ts";

test("what is over its share waits for the next windows, in the order in which it came", async () => {
  const pace = createBodyPace();
  const resumed: number[] = [];
  for (let n = 0; n < 40; n++) pace.took("mole", 500_000, (goOn) => goOn(() => resumed.push(n)));
  expect(resumed).toEqual([]);
  await until(() => resumed.length === 38, { what: "all that waited" });
  expect(resumed).toEqual(Array.from({ length: 38 }, (_, i) => i + 2));
});

test("another source has a share of its own", () => {
  const pace = createBodyPace();
  for (let n = 0; n < 10; n++) pace.took("mole", 1_000_000, (goOn) => goOn(() => {}));
  const waits: string[] = [];
  pace.took("vans", 1_000_000, () => waits.push("vans"));
  expect(waits).toEqual([]);
});
