/** Browser script: what is switched on: sources, destinations, asked vendors, brokers, Redis, mapping, policies, clocks. */

export const SETTINGS_JS = `
import { h, show, table } from "./dom.js";
import { age, ago, bytes, code, count, figure, plural, time } from "./words.js";

const number = (title) => ({ title, kind: "number" });
const text = (title) => ({ title });
const MAX_DEVICES = 20;

export function showParts(element, { status, tenant }) {
  const own = tenant && [sources(tenant), destinations(tenant), unmapped(tenant), clocks(tenant), instructions(tenant)];
  show(
    element,
    h("div", { class: "column" }, own?.slice(0, 2) ?? null, pollers(status), brokers(status), policies(status, tenant)),
    h("div", { class: "column" }, processes(status), redis(status), own?.slice(2) ?? null),
  );
}

function sources({ sources, at }) {
  const rows = sources.map((source) => [source.name, source.vendor, source.transport, source.destination, ago(source.lastMessageAt, at)]);
  return table("Sources", [text("source"), text("vendor"), text("way in"), text("destination"), text("last message")], rows, "No source is configured.");
}

function instructions({ instructions }) {
  const rows = instructions.map(({ source, vendor, address, headers, steps, topics, docs }) => [
    source,
    h("td", { class: "wide" },
      address === null ? null : h("p", {}, code(address)),
      headers.map(({ name, value }) => h("p", {}, code(name + ": " + value))),
      topics.length === 0 ? null : h("p", {}, "Topics: ", code(topics.join(", "))),
      steps.map((step) => h("p", {}, step)),
      h("p", {}, h("a", { href: docs, rel: "noreferrer" }, "The documentation of " + vendor)),
    ),
  ]);
  return table("What to enter at the vendor", [text("source"), text("address, headers, steps")], rows, "No source is configured.");
}

function destinations({ destinations }) {
  const rows = destinations.map((destination, index) => [
    destination.name,
    code(destination.tenant),
    destination.provider,
    code(destination.scope),
    figure("td", "/tenant/destinations/" + index + "/unitsKnown", destination.unitsKnown),
    figure("td", "/tenant/destinations/" + index + "/gate/ratePerSecond", destination.gate.ratePerSecond),
    h("td", { class: "number" }, bytes(destination.bufferLimitBytes)),
  ]);
  return table("Destinations", [text("destination"), text("tenant"), text("provider"), text("scope"), number("units"), number("requests/s"), number("buffer limit")], rows, "No destination is configured.");
}

function processes({ processes, at }) {
  if (processes.length === 0) return null;
  const stands = ({ refused, restart }) => (refused !== null ? "refused" : restart.length > 0 ? "waits for a restart" : "in force");
  const rows = processes.map(({ name, isThis, version, startedAt, configuration }) => [
    code(name) , isThis ? "this one" : "", version, ago(startedAt, at), code(configuration.fingerprint), ago(configuration.appliedAt, at),
    h("td", { class: configuration.refused === null ? "good" : "bad" }, stands(configuration)),
  ]);
  return table("Processes", [text("process"), text(""), text("version"), text("started"), text("configuration"), text("since"), text("its files are")], rows, "");
}

function pollers({ pollers, at }) {
  const rows = pollers.map((poller, index) => [
    poller.name,
    h("td", { class: poller.state === "polling" || poller.state === "standby" ? "good" : "bad" }, poller.state),
    poller.state === "standby" || poller.reason === null ? "–" : poller.reason + (poller.detail === "" ? "" : ", " + poller.detail),
    ago(poller.lastSuccessAt, at),
    ago(poller.cursorAt, at),
    figure("td", "/status/pollers/" + index + "/reads/pages", poller.reads.pages),
    figure("td", "/status/pollers/" + index + "/reads/rows", poller.reads.rows),
    figure("td", "/status/pollers/" + index + "/reads/unchanged", poller.reads.unchanged),
  ]);
  return table("Asked vendors", [text("source"), text("state"), text("because"), text("last success"), text("cursor"), number("pages"), number("vehicles"), number("unchanged")], rows, "No vendor has to be asked.");
}

function brokers({ brokers, at }) {
  const rows = brokers.map((broker, index) => [
    broker.name,
    broker.kind,
    h("td", { class: broker.state === "connected" || broker.state === "standby" ? "good" : "bad" }, broker.state),
    ago(broker.since, at),
    broker.clients === null ? "–" : figure("td", "/status/brokers/" + index + "/clients", broker.clients),
    figure("td", "/status/brokers/" + index + "/unacked", broker.unacked),
  ]);
  return table("Brokers", [text("broker"), text("kind"), text("state"), text("since"), number("devices"), number("unacked")], rows, "No MQTT broker is configured.");
}

function redis({ redis, jobs }) {
  const good = (ok, words) => h("td", { class: ok ? "good" : "bad" }, words);
  const memory = redis.usedMemoryBytes === null ? "unknown" : bytes(redis.usedMemoryBytes) + (redis.maxMemoryBytes ? " of " + bytes(redis.maxMemoryBytes) : ", no limit");
  const rows = [
    ["answers", good(redis.reachable, redis.reachable ? "yes" : "no")],
    ["takes writes", good(redis.writable, redis.writable ? "yes" : "no")],
    ["append-only file", good(redis.aof === "always" || redis.aof === "everysec", redis.aof)],
    ["eviction", good(redis.maxmemoryPolicy === "noeviction", redis.maxmemoryPolicy ?? "unknown")],
    ["memory", memory],
    ["version", redis.version ?? "unknown"],
    ["jobs", ["waiting", "active", "delayed", "failed"].map((state, index) => [index === 0 ? "" : ", ", figure("span", "/status/jobs/" + state, jobs[state]), " " + state])],
  ];
  return table("Redis", [text("question"), text("answer")], rows, "");
}

function unmapped({ sources }) {
  const unmapped = sources.flatMap((source) => source.unmapped);
  const rows = unmapped.slice(0, MAX_DEVICES).map((device) => [code(device.device), device.source, time(device.lastFixAt), device.policy === "hold" ? "held" : "forwarded as it is"]);
  const panel = table("Devices without a mapping row", [text("device"), text("source"), text("last fix"), text("so it is")], rows, "Every device seen is mapped.");
  const more = unmapped.length - rows.length;
  if (more > 0) panel.append(h("p", { class: "note" }, plural(more, "more", "more") + ": see /api/v1/sources."));
  return panel;
}

function clocks({ sources }) {
  const clocks = sources.flatMap((source) => source.clocks);
  const rows = clocks.slice(0, MAX_DEVICES).map((clock) => [code(clock.deviceId), clock.source, clock.text + (clock.looksLikeTimeZone ? ", like a time zone" : "")]);
  return table("Wrong clocks", [text("device"), text("source"), text("its clock is")], rows, "No device's clock is off by a constant.");
}

/** One row for each place, so that two destinations can be compared. */
function policies(status, tenant) {
  const parts = [status, ...(tenant?.sources ?? []), ...(tenant?.destinations ?? [])];
  const policies = parts.flatMap((part) => part.policies);
  const places = [...new Set(policies.map((policy) => policy.where))];
  const rows = places.map((where) => [
    where,
    h("td", { class: "wide" }, policies.filter((policy) => policy.where === where).map((policy) => h("span", { class: "policy" }, code(policy.name), " ", policy.value))),
  ]);
  return table("Policies", [text("of"), text("setting")], rows, "No policy was told to this page.");
}
`;
