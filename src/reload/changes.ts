/** Compares two configurations: what has come, changed and gone, and what only a restart can change. Names only, no values. */

import { isDeepStrictEqual } from "node:util";
import type { Config } from "../config/config.ts";

export interface Change {
  kind: "source" | "destination" | "broker" | "device" | "tenant" | "setting";
  name: string;
  change: "added" | "changed" | "removed";
}

/** Settings that are read once, at the start. */
const AT_START = {
  redis: ["url", "prefix", "commandTimeoutMs"],
  http: [
    "host",
    "port",
    "tls",
    "bodyLimitBytes",
    "trustedProxies",
    "answerWithinMs",
    "maxConnections",
    "maxConnectionsPerAddress",
  ],
  ops: ["host", "port", "hosts", "metrics"],
  queue: [
    ...["groupCommitMs", "lockMs", "stalledCheckMs", "toleratedStallMs"],
    ...[
      "ledgerBytes",
      "ledgerMaxAgeMs",
      "quarantineBytes",
      "quarantineMaxAgeMs",
      "deadLetterBytes",
      "deadLetterMaxAgeMs",
    ],
  ],
  spool: ["dir", "maxBytes"],
  log: ["format"],
} as const;
const LISTEN_AT_START = [
  ...[
    "host",
    "port",
    "tls",
    "maxUnacked",
    "maxConnections",
    "maxConnectionsPerAddress",
    "maximumPacketBytes",
  ],
] as const;

/** What takes effect at once, in the order of the pipeline. */
export function changesBetween(before: Config, after: Config): Change[] {
  return [
    ...changed("tenant", before.tenants, after.tenants),
    ...changed("source", before.sources, after.sources),
    ...changed("destination", before.destinations, after.destinations),
    ...changed("broker", before.mqtt.brokers, after.mqtt.brokers),
    ...changed("device", devicesOf(before), devicesOf(after)),
    ...changed("setting", liveSettings(before), liveSettings(after)),
  ];
}

function changed(
  kind: Change["kind"],
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): Change[] {
  const found: Change[] = [];
  for (const name of Object.keys(before))
    if (!Object.hasOwn(after, name)) found.push({ kind, name, change: "removed" });
  for (const [name, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, name)) found.push({ kind, name, change: "added" });
    else if (!isSame(before[name], value)) found.push({ kind, name, change: "changed" });
  }
  return found;
}

/** Documents that have not changed give the same objects. */
function isSame(one: unknown, other: unknown): boolean {
  return one === other || isDeepStrictEqual(one, other);
}

function devicesOf({ mqtt }: Config): Record<string, unknown> {
  return Object.fromEntries((mqtt.listen?.devices ?? []).map((device) => [device.username, device]));
}

function liveSettings({ mapping, limits, diagnosis, log, ops, shutdownMs }: Config): Record<string, unknown> {
  return {
    ...{ mapping, limits, diagnosis, shutdownMs, "log.level": log.level },
    ...{ "ops.token": ops.token, "ops.tokens": ops.tokens },
  };
}

/** The settings that differ and wait for a restart, by their names. */
export function waitingForRestart(before: Config, after: Config): string[] {
  const names: string[] = [];
  for (const [section, settings] of Object.entries(AT_START)) {
    const [one, other] = [sectionOf(before, section), sectionOf(after, section)];
    for (const name of settings) if (!isSame(one[name], other[name])) names.push(`${section}.${name}`);
  }
  const [one, other] = [before.mqtt.listen, after.mqtt.listen];
  if ((one === undefined) !== (other === undefined)) names.push("mqtt.listen");
  else if (one && other)
    names.push(
      ...LISTEN_AT_START.filter(
        (name) => !isSame(one[name as keyof typeof one], other[name as keyof typeof other]),
      ).map((name) => `mqtt.listen.${name}`),
    );
  return names;
}

function sectionOf(config: Config, section: string): Readonly<Record<string, unknown>> {
  const found = Object.entries(config).find(([name]) => name === section)?.[1];
  return typeof found === "object" && found !== null ? { ...found } : {};
}

/** The new configuration, with what a restart has to change as it is now. */
export function withoutRestart(before: Config, after: Config): Config {
  const { listen } = before.mqtt;
  return {
    ...after,
    redis: before.redis,
    http: before.http,
    ops: { ...before.ops, ...tokensOf(after.ops) },
    queue: { ...before.queue, concurrency: after.queue.concurrency },
    ...(before.spool ? { spool: before.spool } : { spool: undefined }),
    log: { ...before.log, level: after.log.level },
    mqtt: {
      brokers: after.mqtt.brokers,
      ...(listen && { listen: { ...listen, devices: after.mqtt.listen?.devices ?? [] } }),
    },
  };
}

function tokensOf({ token, tokens }: Config["ops"]): Pick<Config["ops"], "token" | "tokens"> {
  return { token, tokens };
}
