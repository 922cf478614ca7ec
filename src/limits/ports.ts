/** Gives each of the three ports its share of the process's descriptors, and reports what a port refuses. */

import type { Incident } from "../status/process.ts";
import { type ConnectionCap, type ConnectionRefusal, createConnectionCap } from "./connections.ts";
import { type DescriptorNeeds, descriptorLimit, divideDescriptors, type PortShare } from "./descriptors.ts";
import { createProxyTest } from "./remote-address.ts";

export interface ConnectionEvents {
  /** Only counted: the incident is what the operator sees. Hot in a flood. */
  connectionRefused(event: { port: "webhook" | "mqtt" | "ops"; reason: ConnectionRefusal }): void;
  incident(event: Incident): void;
}

export interface ConnectionShares {
  webhook: ConnectionCap;
  ops: ConnectionCap;
  /** The embedded broker makes its own cap of it, because its devices log in. */
  mqtt: PortShare;
  isProxy: (address: string) => boolean;
}

export function shareConnections(
  needs: DescriptorNeeds & { trustedProxies: readonly string[] },
  events: ConnectionEvents & { failed(event: { where: string; error: unknown }): void },
): ConnectionShares {
  const limit = descriptorLimit();
  const shares = divideDescriptors(needs, limit);
  const isProxy = createProxyTest(needs.trustedProxies);
  if (shares.lacking !== null) {
    const error = new Error(
      `This process may open ${limit} files and connections and needs at least ${shares.lacking}: raise the limit (ulimit -n, LimitNOFILE of systemd, ulimits of a container).`,
    );
    events.failed({ where: "descriptors", error });
  }
  const capOf = (port: "webhook" | "ops", { total, perAddress }: PortShare, perOwner: number) =>
    createConnectionCap({
      total,
      perAddress,
      perOwner,
      isProxy,
      onRefused(reason, subject) {
        events.connectionRefused({ port, reason });
        events.incident({ kind: "connections_refused", where: `${port} port`, subject });
      },
    });
  return {
    // Half: one source's senders, or a thief of their secret, leave room for all others.
    webhook: capOf("webhook", shares.webhook, Math.ceil(shares.webhook.total / 2)),
    ops: capOf("ops", shares.ops, shares.ops.total),
    mqtt: shares.mqtt,
    isProxy,
  };
}
