/** The outage drill in small: what `npm run drill` plays for ten minutes and a thousand vehicles. */

import { expect, test, vi } from "vitest";
import { type OutageSettings, playOutage } from "../../bench/outage.ts";
import { scaled } from "../support/speed.ts";

vi.setConfig({ testTimeout: scaled(180_000) });

/** The default of the configuration. */
const GUARD_MS = 40;

const SMALL: Omit<OutageSettings, "kind" | "backfill"> = {
  units: 200,
  everyMs: 1000,
  warmUpMs: 3000,
  outageMs: 15_000,
  ratePerSecond: 10,
  maxAgeMs: 600_000,
  progress: () => {},
};

test.concurrent.each([
  { kind: "503", backfill: "drop" },
  { kind: "reset", backfill: "deliver" },
] as const)(
  "every unit's newest position is there first after an outage by $kind; $backfill",
  async (way) => {
    const figures = await playOutage({ ...SMALL, ...way });
    console.log(JSON.stringify(figures));
    expect(figures).toMatchObject({
      unitsMissing: 0,
      historyOutOfOrder: 0,
      expiredButSent: 0,
      lost: 0,
      accountingMismatches: 0,
    });
    expect(figures.backlog).toBeGreaterThan(2000);
    expect(figures.newestAcceptedMs.max).toBeLessThan(scaled(10_000));
    // A receiver that is kept from the processor hears of several requests at once; rate.test.ts measures without.
    if (figures.receiverStallMs < GUARD_MS) {
      expect(figures.maxRequestsPerSecond).toBeLessThanOrEqual(SMALL.ratePerSecond);
    }
    expect(figures.requestsDuringOutage).toBeGreaterThan(2);
    if (way.backfill === "drop") expect(figures).toMatchObject({ history: 0, expired: 0 });
    // All but one of each unit's positions of the outage, which is sent as its newest.
    if (way.backfill === "drop")
      expect(figures.superseded).toBeGreaterThan(figures.backlog - 2 * SMALL.units);
    if (way.backfill === "deliver")
      expect(figures.history).toBeGreaterThan(figures.backlog - 2 * SMALL.units);
  },
);
