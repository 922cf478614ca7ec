/** Divides the descriptors that the process may open: what it needs itself, and what is left for each port. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Node's own (some 25), the log, the spool's and the mapping's files, and whatever a library opens for a moment. */
const PROCESS_DESCRIPTORS = 64;
/** Five connections to Redis, and five more while they are being replaced. */
const REDIS_DESCRIPTORS = 10;
/** Some 20 kB each; a larger fleet has a proxy or a broker of its own in front. */
const MAX_PORT_CONNECTIONS = 10_000;
/** A port with fewer would be of no use: the limit is too low then, which is reported. */
const MIN_PORT_CONNECTIONS = 16;
/** Browsers open six each; probes and scrapers one. */
const MAX_OPS_CONNECTIONS = 64;
/** Trackers of one mobile network share an address, and come all at once after an outage; a login takes them 0.1 s. */
const MAX_UNAUTHENTICATED_PER_ADDRESS = 250;
/** Where neither /proc nor a shell gives one: the lowest limit that is usual. */
const UNKNOWN_LIMIT = 1024;

export interface PortShare {
  total: number;
  perAddress: number;
}

export interface DescriptorShares {
  webhook: PortShare;
  mqtt: PortShare;
  ops: PortShare;
  /** Not for the ports: Redis, ServiceTitan, vendors and brokers, files, and the process itself. */
  reserve: number;
  /** How many the process would need for the least it can work with, where it may open fewer. */
  lacking: number | null;
}

/** Node raises its own soft limit to the hard one when it starts; this is what counts afterwards. */
export function descriptorLimit(): number {
  return (
    fromText(() => /^Max open files +(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]) ??
    fromText(() => execFileSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" }).trim()) ??
    UNKNOWN_LIMIT
  );
}

function fromText(read: () => string | undefined): number | null {
  try {
    const text = read();
    if (text === "unlimited") return Number.POSITIVE_INFINITY;
    const limit = Number(text);
    return Number.isInteger(limit) && limit > 0 ? limit : null;
  } catch {
    // Another operating system has neither.
    return null;
  }
}

/** What the configuration says of one port; a setting left out has a default that follows from the limit. */
export interface PortSettings {
  maxConnections?: number | undefined;
  maxConnectionsPerAddress?: number | undefined;
}

export interface DescriptorNeeds {
  http: PortSettings;
  /** The embedded broker; undefined when it is off. */
  listen: PortSettings | undefined;
  /** Connections to other hosts: one for each batch in flight, and for each token, vendor and broker. */
  outgoing: number;
}

export function divideDescriptors(
  { http, listen, outgoing }: DescriptorNeeds,
  limit: number,
): DescriptorShares {
  const ops = Math.min(MAX_OPS_CONNECTIONS, Math.max(MIN_PORT_CONNECTIONS, Math.floor(limit / 8)));
  const reserve = PROCESS_DESCRIPTORS + REDIS_DESCRIPTORS + outgoing;
  const left = Number.isFinite(limit) ? limit - reserve - ops : Number.POSITIVE_INFINITY;
  const least = (listen ? 2 : 1) * MIN_PORT_CONNECTIONS;
  const available = Math.max(left, least);
  const wanted = {
    http: Math.min(http.maxConnections ?? MAX_PORT_CONNECTIONS, available),
    mqtt: listen ? Math.min(listen.maxConnections ?? MAX_PORT_CONNECTIONS, available) : 0,
  };
  // Each may have half, and what the other does not want.
  const webhook = Math.min(wanted.http, Math.max(Math.floor(available / 2), available - wanted.mqtt));
  return {
    webhook: shareOf(webhook, http.maxConnectionsPerAddress),
    mqtt: shareOf(Math.min(wanted.mqtt, available - webhook), listen?.maxConnectionsPerAddress),
    ops: { total: ops, perAddress: Math.ceil(ops / 2) },
    reserve,
    lacking: left < least ? reserve + ops + least : null,
  };
}

function shareOf(total: number, perAddress: number | undefined): PortShare {
  // A quarter: one address alone cannot fill the port, and a small port still takes several of one office.
  const usual = Math.min(MAX_UNAUTHENTICATED_PER_ADDRESS, Math.max(8, Math.floor(total / 4)));
  return { total, perAddress: Math.min(perAddress ?? usual, total) };
}
