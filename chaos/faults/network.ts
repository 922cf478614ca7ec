/** Faults of the network between the gateways and what they need. */

import type { LinkState } from "../../sandbox/proxy.ts";
import type { Fault } from "../fault.ts";
import { type Gateway, LANES, PINGS_IN_FLIGHT, type Stage } from "../stage.ts";

type Link = "toSandbox" | "toRedis";
type Who = "one" | "all";

function broken(name: string, link: Link, who: Who, state: LinkState, more: Partial<Fault> = {}): Fault {
  const linksOf = ({ gateways }: Stage, victim: Gateway) =>
    (who === "all" ? gateways : [victim]).map((gateway) => gateway[link]);
  return {
    name,
    // A lost answer is known by its pings; what lies between a gateway and Redis hides what was answered.
    unsettledAtMost: link === "toRedis" ? PINGS_IN_FLIGHT : 0,
    recoverFrom: who === "all" ? "healing" : "injection",
    inject(stage, { victim }) {
      for (const proxy of linksOf(stage, victim)) proxy.set(state);
    },
    heal(stage, { victim }) {
      for (const proxy of linksOf(stage, victim)) proxy.set({ kind: "open" });
    },
    ...more,
  };
}

/** Within the status line or the headers of an answer, and within its body. */
const HALF_HEAD = 60;
const HALF_BODY = 260;

export const NETWORK_FAULTS: readonly Fault[] = [
  broken("network_cut_to_servicetitan", "toSandbox", "all", { kind: "cut" }),
  broken("network_frozen_to_servicetitan", "toSandbox", "all", { kind: "frozen" }, { heldBack: LANES }),
  broken("network_drips_from_servicetitan", "toSandbox", "all", { kind: "drip", bytes: 1, everyMs: 50 }),
  broken("network_half_a_head", "toSandbox", "all", { kind: "torn", afterBytes: HALF_HEAD }),
  broken("network_half_a_body", "toSandbox", "all", { kind: "torn", afterBytes: HALF_BODY }),
  broken("network_cut_to_redis", "toRedis", "all", { kind: "cut" }, { storageAway: true }),
  broken("network_frozen_to_redis", "toRedis", "all", { kind: "frozen" }, { long: true, storageAway: true }),
  // One gateway is cut off, the other one works.
  broken("partition_from_redis", "toRedis", "one", { kind: "frozen" }, { long: true }),
  broken("partition_deaf_to_redis", "toRedis", "one", { kind: "deaf" }),
  // Chance decides which gateway has the probe, so the other one may have to wait for the healing.
  broken("partition_from_servicetitan", "toSandbox", "one", { kind: "cut" }, { recoverFrom: "healing" }),
];
