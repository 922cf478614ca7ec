import { expect, test, vi } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import { scaled } from "../support/speed.ts";
import { runCase } from "./cases.ts";
import { fuzz } from "./fuzz.ts";

vi.setConfig({ testTimeout: scaled(90_000), hookTimeout: scaled(90_000) });

const CASES = 60_000;

test("no mutated message makes an adapter throw, hang or tell the impossible", async () => {
  const found = await fuzz({ seed: "waypost", from: 0, cases: CASES, untilMs: Date.now() + 60_000 });
  const share = found.decoded / found.cases;
  console.log(
    `fuzz: ${found.cases} cases, ${(100 * share).toFixed(1)} % passed the envelope, ` +
      `${found.readings} readings, ${found.rejections} rejections`,
  );
  expect(found.failures).toEqual([]);
  // Below it the run would have tested JSON.parse and not the adapters.
  expect(share).toBeGreaterThanOrEqual(0.3);
  expect(Object.keys(found.byVendor).sort()).toEqual(adapters.map(({ vendor }) => vendor).sort());
});

test("a case is the same each time", () => {
  for (let number = 0; number < 200; number++)
    expect(runCase("again", number)).toEqual(runCase("again", number));
});
