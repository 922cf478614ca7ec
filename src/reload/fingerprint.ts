/** Gives a configuration a short name by which processes are compared; it tells nothing of what is in it. */

import { createHmac } from "node:crypto";
import type { Config } from "../config/config.ts";
import { opsTokensOf } from "../config/ops-tokens.ts";
import { writtenOptions } from "../config/within.ts";

/** Eight hexadecimal digits: a person compares a few of them. */
const DIGITS = 8;

/**
 * Of what all processes should have in common: ports and folders may differ. Keyed by the tokens of the ops endpoint, so
 * that nobody who sees it can try secrets against it.
 */
export function fingerprintOf({
  sources,
  destinations,
  mqtt,
  mapping,
  limits,
  tenants,
  ops,
}: Config): string {
  const key = opsTokensOf(ops)
    .map(({ token }) => token)
    .join("\n");
  const written = Object.entries(sources).map(([name, { options, ...source }]) => [
    name,
    { ...source, options: writtenOptions(options) },
  ]);
  const documents = Object.entries(tenants).map(([name, { origin: _origin, ...tenant }]) => [name, tenant]);
  const common = {
    sources: Object.fromEntries(written),
    ...{ destinations, brokers: mqtt.brokers, devices: mqtt.listen?.devices ?? [] },
    ...{ mapping, limits, tenants: Object.fromEntries(documents) },
  };
  return createHmac("sha256", `waypost configuration\n${key}`)
    .update(JSON.stringify(sorted(common)))
    .digest("hex")
    .slice(0, DIGITS);
}

/** The order in which names are written means nothing. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inside]) => [name, sorted(inside)]),
  );
}
