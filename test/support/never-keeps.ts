/** A gateway process that takes MQTT messages and never keeps one: made to be killed. */

import { connectBroker } from "../../src/inputs/mqtt/client.ts";
import { memoryKeep } from "./memory-keep.ts";
import { intakeOver, mqttSource } from "./plain-vendor.ts";

const [url = "", version = ""] = process.argv.slice(2);
const store = memoryKeep();
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
  ingest: intakeOver(store).ingest,
  events: {
    brokerConnected: () => {},
    brokerDisconnected: () => {},
    brokerRefused: () => {},
    messagesGivenUp: () => {},
    failed: () => {},
  },
});
setInterval(() => {
  if (connection.state().subscribed) console.log("subscribed");
}, 20);
