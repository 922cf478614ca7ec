/** Sets the simulated fleet in motion against a gateway, and returns how that gateway must be configured for it. */

import { randomBytes } from "node:crypto";
import { OWNTRACKS_USER } from "./phones.ts";
import { createSender, type PublishMqtt, type Sender } from "./sender.ts";
import { createTraffic, type FleetPlan, type FleetSecrets, planFleet } from "./traffic.ts";
import type { FleetSource } from "./vendor.ts";

/** A source as the gateway's configuration wants it; the caller adds the destination. */
export interface FleetSourceSettings {
  vendor: string;
  auth?: { method: string; secret: string; username?: string };
  mqtt?: { broker: "listen"; topics: string[] };
  speedUnit?: "mph";
}

/** The sources the fleet feeds, by name, to be built into a configuration. */
export function fleetSources(secrets: FleetSecrets): Record<FleetSource, FleetSourceSettings> {
  return {
    bouncie: { vendor: "bouncie", auth: { method: "shared-key", secret: secrets.bouncie } },
    // Motive does not document its unit; this fleet's vehicles report what an American customer would see.
    motive: { vendor: "motive", auth: { method: "hmac-sha1", secret: secrets.motive }, speedUnit: "mph" },
    traccar: { vendor: "traccar", auth: { method: "bearer", secret: secrets.traccar } },
    owntracks: { vendor: "owntracks", mqtt: { broker: "listen", topics: ["owntracks/#"] } },
    "owntracks-http": {
      vendor: "owntracks",
      auth: { method: "basic", username: OWNTRACKS_USER, secret: secrets["owntracks-http"] },
    },
    hsl: { vendor: "hsl-hfp", mqtt: { broker: "listen", topics: ["/hfp/v2/#"] } },
    json: { vendor: "json", auth: { method: "bearer", secret: secrets.json } },
  };
}

/** The users of the embedded broker the fleet's MQTT messages are published as; by the topic's beginning. */
export function fleetBrokerDevices(secrets: FleetSecrets) {
  return [
    // Each is a fleet that shares one login.
    {
      username: "phones",
      password: secrets.owntracks,
      source: "owntracks",
      topics: ["owntracks/fleet/#"],
      speaksFor: ["fleet/*"],
    },
    { username: "buses", password: secrets.hsl, source: "hsl", topics: ["/hfp/v2/#"], speaksFor: ["*"] },
  ] satisfies {
    username: string;
    password: string;
    source: FleetSource;
    topics: string[];
    speaksFor: string[];
  }[];
}

/** Fresh secrets, of 24 random bytes each. */
export function createFleetSecrets(): FleetSecrets {
  const secret = () => randomBytes(24).toString("hex");
  return {
    bouncie: secret(),
    motive: secret(),
    traccar: secret(),
    owntracks: secret(),
    "owntracks-http": secret(),
    hsl: secret(),
    json: secret(),
  };
}

/** Rows for a mapping file: every device of the fleet with its unit. */
export function fleetMapping(
  plan: FleetPlan,
): { source: string; device: string; unit: string; name: string }[] {
  return planFleet(plan).map(({ vendor, id, number }) => {
    const unit = String(number).padStart(3, "0");
    return { source: vendor.source, device: id, unit: `truck-${unit}`, name: `Truck ${unit}` };
  });
}

export interface FleetOptions {
  seed: string | number;
  vehicles: number;
  /** Without flaws made on purpose. */
  clean?: boolean | undefined;
  /** Where the gateway receives webhooks, without the source's name: `http://127.0.0.1:8080/webhooks`. */
  webhookUrl: string;
  secrets: FleetSecrets;
  /** Publishes to the gateway's broker; without it the fleet has no MQTT vehicles. */
  publishMqtt?: PublishMqtt;
  /** Devices report this many times as often as their vendor's do, but at most once a second. */
  speedup?: number;
}

export interface Fleet {
  stats: Sender["stats"];
  /** Nothing is sent after it; resolves when the last answers are there. */
  stop(): Promise<void>;
}

/** Fine enough that messages leave when they are due and coarse enough to cost nothing. */
const STEP_MS = 100;

export function startFleet({ webhookUrl, publishMqtt, ...options }: FleetOptions): Fleet {
  const ways = publishMqtt ? "webhooks_and_mqtt" : "webhooks";
  const traffic = createTraffic({ ...options, ways, startMs: Date.now() });
  const sender = createSender({ webhookUrl, publishMqtt });
  const timer = setInterval(() => {
    for (const message of traffic.advance(Date.now())) sender.send(message);
  }, STEP_MS);

  async function stop(): Promise<void> {
    clearInterval(timer);
    await sender.stop();
  }

  return { stats: sender.stats, stop };
}
