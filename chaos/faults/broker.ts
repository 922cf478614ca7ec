/** Faults of the MQTT broker. */

import { setTimeout as pause } from "node:timers/promises";
import type { Fault } from "../fault.ts";

/** A frozen broker sends nothing more; what it sent before is stored or given up within this time. */
const STORED_WITHIN_MS = 1000;

export const BROKER_FAULTS: readonly Fault[] = [
  {
    name: "broker_end",
    unsettledAtMost: 0,
    recoverFrom: "healing",
    inject: ({ broker }) => broker.kill("SIGTERM"),
    heal: ({ broker }) => broker.restart(),
  },
  {
    name: "broker_freeze",
    unsettledAtMost: 0,
    recoverFrom: "healing",
    long: true,
    inject: ({ broker }) => broker.kill("SIGSTOP"),
    heal: ({ broker }) => broker.kill("SIGCONT"),
  },
  {
    name: "broker_kill",
    unsettledAtMost: 0,
    recoverFrom: "healing",
    async inject({ broker, saveBroker, generator, observed, exempt, held }) {
      // The broker comes back in the state it last saved, and delivers again what it had then, so that must be recent.
      await saveBroker();
      broker.kill("SIGSTOP");
      await pause(STORED_WITHIN_MS);
      const stored = new Set(await held("read"));
      observed.update();
      // Mosquitto acknowledges before it stores, and a kill loses all since its last save: what only Mosquitto had is gone.
      for (const { id, owedAt } of generator.issued.values()) {
        const isHere = stored.has(id) || observed.has(id);
        if (id.startsWith("trackers:") && owedAt !== null && !isHere && !exempt.has(id))
          exempt.set(id, "broker_lost");
      }
      broker.kill("SIGKILL");
    },
    heal: ({ broker }) => broker.restart(),
  },
];
