/** A gateway process that receives MQTT messages and never stores one, so that a test can kill it. */

import { connectBroker } from "../../src/inputs/mqtt/client.ts";
import { memoryStore } from "./memory-store.ts";
import { ingestOver, mqttSource } from "./plain-vendor.ts";

const [url = "", version = ""] = process.argv.slice(2);
const store = memoryStore();
store.before = () => {
  console.log(`holds ${store.waiting()}`);
  return new Promise(() => {});
};
const connection = connectBroker({
  broker: "main",
  settings: {
    url,
    clientId: "gateway",
    protocolVersion: version === "4" ? 4 : 5,
    rejectUnauthorized: true,
    keepaliveS: 30,
    receiveMaximum: 500,
    maximumPacketBytes: 262_144,
    sessionExpiryS: 3600,
  },
  subscriptions: [{ source: mqttSource("fleet"), topics: ["fleet/#"] }],
  ingest: ingestOver(store).ingest,
  events: {
    brokerConnected: () => {},
    brokerDisconnected: () => {},
    brokerRefused: () => {},
    messagesGivenUp: () => {},
    failed: () => {},
    incident: () => {},
  },
});
setInterval(() => {
  if (connection.state().subscribed) console.log("subscribed");
}, 20);
