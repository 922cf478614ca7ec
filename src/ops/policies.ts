/** Lists the settings that decide what happens to a position, for the page; never a secret. */

import type { Config } from "../config/config.ts";
import { durationText } from "./diagnose/duration.ts";

/** One setting in force: of a source, of a destination, or of the gateway. */
export interface Policy {
  where: string;
  name: string;
  value: string;
}

export function policiesOf(config: Config): Policy[] {
  const policies: Policy[] = [];
  for (const [name, source] of Object.entries(config.sources)) {
    const where = `source ${name}`;
    policies.push({ where, name: "unmapped", value: source.unmapped });
    if (source.minIntervalMs !== undefined) {
      policies.push({ where, name: "minIntervalMs", value: durationText(source.minIntervalMs) });
    }
    if (source.maxImpliedMps !== undefined) {
      policies.push({ where, name: "maxImpliedMps", value: `${source.maxImpliedMps} m/s` });
    }
    if (source.maxAccuracyM !== undefined) {
      policies.push({ where, name: "maxAccuracyM", value: `${source.maxAccuracyM} m` });
    }
  }
  for (const [name, destination] of Object.entries(config.destinations)) {
    const where = `destination ${name}`;
    policies.push(
      { where, name: "environment", value: destination.environment },
      { where, name: "ratePerSecond", value: `${destination.ratePerSecond} requests/s` },
      { where, name: "maxBatchPings", value: String(destination.maxBatchPings) },
      { where, name: "maxBatchAgeMs", value: durationText(destination.maxBatchAgeMs) },
      {
        where,
        name: "maxAgeMs",
        value: destination.maxAgeMs === 0 ? "no limit" : durationText(destination.maxAgeMs),
      },
      { where, name: "backfill", value: destination.backfill },
      { where, name: "isNew", value: destination.isNew },
      { where, name: "speedUnit", value: destination.speedUnit },
    );
  }
  const { queue } = config;
  const where = "gateway";
  policies.push(
    { where, name: "ledgerMaxAgeMs", value: durationText(queue.ledgerMaxAgeMs) },
    { where, name: "quarantineMaxAgeMs", value: durationText(queue.quarantineMaxAgeMs) },
    { where, name: "deadLetterMaxAgeMs", value: durationText(queue.deadLetterMaxAgeMs) },
  );
  return policies;
}
