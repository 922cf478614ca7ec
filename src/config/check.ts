/** Checks what no single setting shows: that the settings fit each other and the adapters. */

import { isConfidential } from "./address.ts";
import { checkCertificates } from "./certificates.ts";
import { type AdapterFacts, checkSource, EMBEDDED, type Report } from "./check-sources.ts";
import type { BrokerConfig, DestinationConfig, ListenConfig } from "./config.ts";
import { lanesOf } from "./defaults.ts";
import { checkOpsTokens } from "./ops-tokens.ts";
import type { Finding, SettingPath } from "./problems.ts";
import type { ValidSettings } from "./valid-settings.ts";

/** A batch whose process died must be on its way again this soon, or its positions are too old for a dispatcher. */
const TAKEOVER_WITHIN_MS = 5000;

/** Of one document. `valid` has what it may use, `own` what it brings itself; for the main configuration they are one. */
export function checkRelationsWithin(
  valid: ValidSettings,
  own: ValidSettings,
  adapters: readonly AdapterFacts[],
): Finding[] {
  const found: Finding[] = [];
  const report: Report = (path, message) => void found.push({ path, message });
  for (const [name, source] of own.sources) checkSource(name, source, valid, adapters, report);
  for (const [name, destination] of own.destinations) checkDestination(name, destination, report);
  for (const [name, broker] of own.brokers) checkBroker(name, broker, report);
  if (valid.listen) checkListen(valid.listen, valid, report);
  if (own.named.listen && !valid.named.listen) {
    report(["mqtt", "listen"], "has no effect: the main configuration opens no broker (mqtt.listen)");
  }
  return found;
}

/** Of the main configuration alone: what no tenant can set. */
export function checkMain(main: ValidSettings): Finding[] {
  const found: Finding[] = [];
  const report: Report = (path, message) => void found.push({ path, message });
  if (main.listen?.tls) checkCertificates(["mqtt", "listen", "tls"], main.listen.tls, report);
  if (main.http?.tls) checkCertificates(["http", "tls"], main.http.tls, report);
  checkTimes(main, report);
  checkPorts(main, report);
  return found;
}

/** Of all documents together. */
export function checkRelationsAcross(all: ValidSettings, adapters: readonly AdapterFacts[]): Finding[] {
  const found: Finding[] = [];
  const report: Report = (path, message) => void found.push({ path, message });
  checkScopes(all.destinations, report);
  checkClientIds(all.brokers, report);
  if (all.listen) checkUsernames(all.listen, report);
  checkOpsTokens(all, report);
  checkDeadlines(all, adapters, report);
  checkSlots(all, report);
  return found;
}

function checkDestination(name: string, destination: DestinationConfig, report: Report): void {
  const at = ["destinations", name];
  for (const key of ["apiUrl", "authUrl"] as const) {
    const url = destination[key];
    if (destination.environment === "custom") {
      if (url === undefined) report([...at, key], "is required where environment is custom");
      else if (!isConfidential(new URL(url))) {
        report([...at, key], "must be https: the credentials would cross a public network in the clear");
      }
    } else if (url !== undefined) {
      report([...at, key], "has an effect only where environment is custom");
    }
  }
  if (destination.maxAgeMs === 0) return;
  if (destination.requestTimeoutMs >= destination.maxAgeMs) {
    report(
      [...at, "requestTimeoutMs"],
      "must be less than maxAgeMs: a ping would outlive its age in one request",
    );
  }
  if (destination.maxBatchAgeMs >= destination.maxAgeMs) {
    report(
      [...at, "maxBatchAgeMs"],
      "must be less than maxAgeMs: pings would expire while their batch fills",
    );
  }
}

/** ServiceTitan counts requests by app and tenant, so destinations that share both share one throttle. */
function checkScopes(destinations: ValidSettings["destinations"], report: Report): void {
  const first = new Map<string, { name: string; destination: DestinationConfig }>();
  for (const [name, destination] of destinations) {
    const scope = JSON.stringify([destination.appKey, destination.tenant]);
    const other = first.get(scope);
    if (!other) {
      first.set(scope, { name, destination });
      continue;
    }
    for (const key of ["ratePerSecond", "guardMs"] as const) {
      if (destination[key] === other.destination[key]) continue;
      report(
        ["destinations", name, key],
        `must be ${other.destination[key]} as in ${other.name}: same app and tenant, hence one throttle`,
      );
    }
  }
}

function checkBroker(name: string, broker: BrokerConfig, report: Report): void {
  const at = ["mqtt", "brokers", name];
  if (name === EMBEDDED) report(at, "cannot be called listen: that means the embedded broker");
  const isEncrypted = /^(mqtts|ssl|wss):/.test(broker.url);
  for (const key of ["ca", "cert", "key"] as const) {
    if (broker[key] !== undefined && !isEncrypted)
      report([...at, key], "has no effect: the url is not encrypted");
  }
  if (isEncrypted) checkCertificates(at, broker, report);
  if (broker.cert !== undefined && broker.key === undefined) report([...at, "key"], "is required with cert");
  if (broker.key !== undefined && broker.cert === undefined) report([...at, "cert"], "is required with key");
  // MQTT 3.1.1 §3.1.2.9; version 5 dropped the rule.
  if (broker.protocolVersion === 4 && broker.password !== undefined && broker.username === undefined) {
    report([...at, "username"], "is required: MQTT 3.1.1 allows no password without a username");
  }
}

/** A broker lets one connection at a time have a client id: two would push each other out without end. */
function checkClientIds(brokers: ValidSettings["brokers"], report: Report): void {
  const seen = new Map<string, string>();
  for (const [name, broker] of brokers) {
    const identity = JSON.stringify([brokerAddress(broker.url), broker.clientId]);
    const other = seen.get(identity);
    if (other !== undefined) {
      report(
        ["mqtt", "brokers", name, "clientId"],
        `is also that of ${other}: they would push each other out`,
      );
    }
    seen.set(identity, name);
  }
}

const MQTT_PORTS: Record<string, string> = {
  "mqtt:": "1883",
  "tcp:": "1883",
  "mqtts:": "8883",
  "ssl:": "8883",
  "ws:": "80",
  "wss:": "443",
};

function brokerAddress(text: string): string {
  const url = new URL(text);
  return `${url.hostname.toLowerCase()}:${url.port || MQTT_PORTS[url.protocol]}`;
}

function checkListen(listen: ListenConfig, valid: ValidSettings, report: Report): void {
  for (const [index, device] of listen.devices.entries()) {
    const at = ["mqtt", "listen", "devices", index];
    const source = valid.sources.get(device.source);
    if (!valid.named.sources.has(device.source))
      report([...at, "source"], "names no source of this configuration");
    else if (source && source.mqtt?.broker !== EMBEDDED) {
      report([...at, "source"], `names a source whose mqtt.broker is not ${EMBEDDED}`);
    }
  }
  for (const [name, source] of valid.sources) {
    if (source.mqtt?.broker === EMBEDDED && !listen.devices.some((device) => device.source === name)) {
      report(
        ["sources", name, "mqtt", "broker"],
        "means the embedded broker, but no device there feeds this source",
      );
    }
  }
}

function checkUsernames({ devices }: ListenConfig, report: Report): void {
  const usernames = new Set<string>();
  for (const [index, { username }] of devices.entries()) {
    if (usernames.has(username)) report(["mqtt", "listen", "devices", index, "username"], "is given twice");
    usernames.add(username);
  }
}

function checkTimes({ queue, http, redis }: ValidSettings, report: Report): void {
  if (queue) {
    const { lockMs, stalledCheckMs, toleratedStallMs } = queue;
    // A dead process's lock has to run out, and the check that notices it may have just passed, twice.
    if (lockMs + 2 * stalledCheckMs > TAKEOVER_WITHIN_MS) {
      report(
        ["queue", "lockMs"],
        `plus twice stalledCheckMs must be at most ${TAKEOVER_WITHIN_MS}: the time a crashed batch may wait`,
      );
    }
    if (lockMs <= toleratedStallMs) {
      report(
        ["queue", "lockMs"],
        "must be more than toleratedStallMs: a stall would cost batches their locks",
      );
    }
  }
  if (http && queue && queue.groupCommitMs >= http.answerWithinMs) {
    report(["queue", "groupCommitMs"], "must be less than http.answerWithinMs");
  }
  if (http && redis && redis.commandTimeoutMs >= http.answerWithinMs) {
    report(
      ["redis", "commandTimeoutMs"],
      "must be less than http.answerWithinMs: senders would give up first",
    );
  }
}

/** A later answer is useless: the vendor has given up, and sends the message again or never. */
function checkDeadlines(
  { http, sources }: ValidSettings,
  adapters: readonly AdapterFacts[],
  report: Report,
): void {
  const [tightest] = [...sources]
    .filter(([, { mqtt }]) => !mqtt)
    .flatMap(([name, { vendor }]) => {
      const { deadlineMs } = adapters.find((adapter) => adapter.vendor === vendor) ?? {};
      return deadlineMs === undefined ? [] : [{ name, vendor, deadlineMs }];
    })
    .sort((a, b) => a.deadlineMs - b.deadlineMs);
  if (!http || !tightest || http.answerWithinMs < tightest.deadlineMs) return;
  report(
    ["http", "answerWithinMs"],
    `must be less than ${tightest.deadlineMs}: ${tightest.vendor} (sources.${tightest.name}) waits no longer for an answer`,
  );
}

/** A hanging request occupies its slot: with fewer slots than lanes, one tenant could occupy all of them. */
function checkSlots({ queue, destinations }: ValidSettings, report: Report): void {
  const lanes = lanesOf(destinations.values());
  if (queue?.concurrency === undefined || queue.concurrency >= lanes) return;
  report(
    ["queue", "concurrency"],
    `must be at least ${lanes}, the lanes of all destinations together, or left out: requests that hang at one would delay the others`,
  );
}

function checkPorts({ http, ops, listen }: ValidSettings, report: Report): void {
  const taken = new Map<number, string>();
  const ports: [SettingPath, number | undefined][] = [
    [["http", "port"], http?.port],
    [["ops", "port"], ops?.port],
    [["mqtt", "listen", "port"], listen?.port],
  ];
  for (const [path, port] of ports) {
    // 0 lets the system choose.
    if (port === undefined || port === 0) continue;
    const other = taken.get(port);
    if (other !== undefined) report(path, `is also ${other}`);
    taken.set(port, path.join("."));
  }
}
