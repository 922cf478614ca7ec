/** Stops the parsing of a connection's packets while too many messages are in flight, and keeps the connection alive meanwhile. */

import type { MqttClient } from "mqtt";

export interface Backpressure {
  /** Parses nothing more until `release`, which calls `resume`. */
  hold(resume: () => void): void;
  release(): void;
}

export function createBackpressure(
  client: Pick<MqttClient, "connected" | "sendPing" | "reschedulePing">,
  keepaliveS: number,
): Backpressure {
  let held: (() => void)[] = [];
  let heartbeat: NodeJS.Timeout | undefined;
  return {
    hold(resume) {
      held.push(resume);
      // The broker's PINGRESP is not parsed either, and the library would take the connection for dead. Its steps are
      // half a keepalive long, so ours at a quarter are always in between.
      heartbeat ??= setInterval(() => {
        if (!client.connected) return;
        client.sendPing();
        client.reschedulePing(true);
      }, keepaliveS * 250);
    },
    release() {
      if (held.length === 0) return;
      clearInterval(heartbeat);
      heartbeat = undefined;
      const waiting = held;
      held = [];
      for (const resume of waiting) resume();
    },
  };
}
