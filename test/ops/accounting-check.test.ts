import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startAccountingCheck } from "../../src/ops/accounting-check.ts";
import { healthy, source } from "./sample.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const HOLDS = { messages: 0, readings: 0, stored: 0 };

/** What is told when the looks find these identities, one after the other. */
async function told(identities: (typeof HOLDS)[]) {
  const heard: unknown[] = [];
  let look = 0;
  const audit = startAccountingCheck({
    async queryStatus() {
      const identity = identities[look++] ?? HOLDS;
      return healthy({ sources: [source({ name: "vans", identity })] });
    },
    events: { accountingMismatch: (event) => void heard.push(event) },
  });
  await vi.advanceTimersByTimeAsync(30_000 * identities.length);
  audit.stop();
  return heard;
}

test("emits nothing while the sums hold", async () => {
  expect(await told([HOLDS, HOLDS])).toEqual([]);
});

test("emits nothing for a difference that is gone at the next check", async () => {
  expect(await told([{ ...HOLDS, stored: 3 }, HOLDS, { ...HOLDS, stored: 1 }])).toEqual([]);
});

test("emits a difference that stays, with the term and the amount", async () => {
  const parted = { ...HOLDS, stored: 3 };
  expect(await told([parted, parted])).toEqual([{ source: "vans", ...parted }]);
});
