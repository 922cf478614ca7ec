/** Counts the PUBACKs that subscribers send, as Mosquitto itself counts packets: no figure comes from a contestant. */

import { EventEmitter, once } from "node:events";
import mqtt from "mqtt";

/** The shortest interval that works: with 1, Mosquitto 2.0 reports every two seconds. */
export const BROKER_SETTINGS = ["sys_interval 1"];

const ALL = "$SYS/broker/messages/received";
const PUBLISHES = "$SYS/broker/publish/messages/received";
/** Several times the interval; a broker that is silent for this long is stuck. */
const REPORT_WITHIN_MS = 15_000;

export interface Report {
  /** performance.now() at its arrival. */
  atMs: number;
  /** Since the broker started. */
  pubacks: number;
}

export interface BrokerCounts {
  next(): Promise<Report>;
  stop(): Promise<void>;
}

export async function watchBroker(url: string): Promise<BrokerCounts> {
  const client = await mqtt.connectAsync(url);
  const reports = new EventEmitter<{ report: [Report] }>();
  let all = 0;
  client.on("message", (topic, payload, { retain }) => {
    const count = Number(payload.toString());
    // Retained reports are old, and not from one moment.
    if (retain) return;
    // Mosquitto reports ALL before PUBLISHES, in one step.
    if (topic === ALL) all = count;
    // A packet that it receives and that is no PUBLISH is a PUBACK, except for a handful of others.
    else reports.emit("report", { atMs: performance.now(), pubacks: all - count });
  });
  await client.subscribeAsync([ALL, PUBLISHES]);

  return {
    async next() {
      const [report] = await once(reports, "report", { signal: AbortSignal.timeout(REPORT_WITHIN_MS) });
      return report;
    },
    stop: () => client.endAsync(),
  };
}
