/** A short run of the conservation oracle: what was acknowledged arrives, whatever is broken meanwhile. */

import { expect, test } from "vitest";
import { FAULTS } from "../../chaos/faults/all.ts";
import { judge } from "../../chaos/judge.ts";
import { table } from "../../chaos/report.ts";
import { run } from "../../chaos/run.ts";
import { findRedisServer } from "../../sandbox/redis.ts";
import { because } from "../support/because.ts";
import { whyNotMosquitto } from "../support/mosquitto.ts";
import { scaled } from "../support/speed.ts";

/** One of each kind; the others have their turn in `npm run chaos`. */
const CHOSEN = [
  "gateway_kill_between_post_and_settle",
  "redis_kill",
  "redis_flush",
  "broker_end",
  "servicetitan_429_seconds",
  "servicetitan_500_by_chance",
  "servicetitan_reset_after_accepting",
  "servicetitan_poison",
];

const missing =
  findRedisServer() === null
    ? "redis-server is not installed (apt-get install redis-server)"
    : whyNotMosquitto();

test.skipIf(missing !== null)(
  `nothing is lost${because(missing)}`,
  { timeout: scaled(240_000) },
  async () => {
    const faults = FAULTS.filter(({ name }) => CHOSEN.includes(name));
    expect(faults).toHaveLength(CHOSEN.length);
    const history = await run({
      seed: "short",
      forMs: 120_000,
      rounds: 1,
      faults,
      lengths: "short",
      // How soon is measured by the long run; on a busy machine only that it comes back can be asked.
      recoverWithinMs: 25_000,
    });
    const verdict = judge(history);
    console.log(table(verdict));
    expect(verdict.violations).toEqual([]);
    expect(verdict.total.owed).toBeGreaterThan(1000);
  },
);
