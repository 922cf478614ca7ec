/** The caps of the three ports, each with its share of the process's descriptors, and what they tell. */

import type { Config } from "../config/config.ts";
import type { Events } from "../events.ts";
import { type ConnectionCap, createConnectionCap } from "./connections.ts";
import { descriptorLimit, divideDescriptors, type PortShare } from "./descriptors.ts";
import { createProxyTest } from "./remote-address.ts";

export interface ConnectionShares {
  webhook: ConnectionCap;
  ops: ConnectionCap;
  /** The embedded broker makes its own of it: its devices log in. */
  mqtt: PortShare;
  isProxy: (address: string) => boolean;
}

export function shareConnections(
  config: Config,
  events: Pick<Events, "connectionRefused" | "incident" | "failed">,
): ConnectionShares {
  const limit = descriptorLimit();
  const shares = divideDescriptors(config, limit);
  const isProxy = createProxyTest(config.http.trustedProxies);
  if (shares.lacking !== null) {
    const error = new Error(
      `This process may open ${limit} files and connections and needs at least ${shares.lacking}: raise the limit (ulimit -n, LimitNOFILE of systemd, ulimits of a container).`,
    );
    events.failed({ where: "descriptors", error });
  }
  const capOf = (port: "webhook" | "ops", { total, perAddress }: PortShare, perHolder: number) =>
    createConnectionCap({
      total,
      perAddress,
      perHolder,
      isProxy,
      onRefused(reason, subject) {
        events.connectionRefused({ port, reason });
        events.incident({ kind: "connections_refused", where: `${port} port`, subject });
      },
    });
  return {
    // Half: one source's senders, or whoever has their secret, leave room for all others.
    webhook: capOf("webhook", shares.webhook, Math.ceil(shares.webhook.total / 2)),
    ops: capOf("ops", shares.ops, shares.ops.total),
    mqtt: shares.mqtt,
    isProxy,
  };
}
