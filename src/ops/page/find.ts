/** Browser script: where is my ping? Finds a device by any key, and lists what became of its readings and its pings. */

export const FIND_JS = `
import { answerTo } from "./ask.js";
import { h, show, table } from "./dom.js";
import { age, code, count, time } from "./words.js";

/** Redis answers this in milliseconds; a thousand entries are read for it at most. */
const ANSWER_WITHIN_MS = 15000;
const COMPASS = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];

const byId = (id) => document.getElementById(id);
const form = byId("find");
/** A slow answer must not replace that of a later question. */
let latest = 0;

/** The tenant that is looked at, if it is one. */
let tenant = null;

export function showFinder(document) {
  tenant = document;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const q = new FormData(form).get("q").trim();
  look({ q }, q);
});

async function look(query, q) {
  const question = ++latest;
  say("Looking…");
  const found = await findings(query, q);
  if (question === latest) show(byId("found"), found);
}

async function findings(query, q) {
  try {
    const answer = await ask("/timeline", query);
    if (!answer.ok) return couldNotSay(answer);
    const timeline = await answer.json();
    const { device, candidates } = timeline;
    if (device !== null) return [history(timeline), await pingsOf(candidates)];
    if (candidates.length > 0) return choices(candidates);
    const everywhere = tenant?.destinations.map(({ name }) => ({ destination: name, unit: q })) ?? [];
    return [note("No device is known by " + q + "."), await pingsOf(everywhere)];
  } catch {
    return note("No answer from the gateway. See above.");
  }
}

function ask(path, query) {
  return answerTo(path + "?" + new URLSearchParams(query), ANSWER_WITHIN_MS);
}

function couldNotSay({ status }) {
  return note("The gateway could not say (" + status + "). Redis may be away: see above.");
}

/** Several match: which is meant? */
function choices(candidates) {
  const buttons = candidates.map(({ source, device, unit, unitName, destination }) =>
    h("button", { type: "button", "data-source": source, "data-device": device }, (unitName === unit ? unit : unitName + " (" + unit + ")") + " at " + destination + " · " + device + " of " + source),
  );
  return [note("Several match:"), h("p", { class: "choices" }, buttons)];
}

byId("found").addEventListener("click", ({ target }) => {
  const { source, device } = target.closest("button")?.dataset ?? {};
  if (source !== undefined) look({ source, device }, device);
});

function history({ device: { source, device, lastSeenAt }, candidates, events, sourceEvents, reachesBackTo, unknown }) {
  const named = ["device " + device + " of " + source, ...candidates.map(({ unit, unitName, technician, destination }) => (unitName === unit ? unit : unitName + " (" + unit + ")") + " at " + destination + (technician === null ? "" : ", technician " + technician))];
  const columns = ["at", "what", "why", "fix", "ServiceTitan"].map((title) => ({ title }));
  const reach = reachesBackTo === null ? null : ["It reaches back to ", time(reachesBackTo), ". "];
  return [
    h("p", null, h("b", null, named.join(" · ")), lastSeenAt === null ? null : [" · last seen ", time(lastSeenAt)]),
    table("What happened to it", columns, events.map(toEvent), "Nothing is known of its last readings."),
    sourceEvents.length === 0 ? null : table("Events of " + source + " that name no device", columns, sourceEvents.map(toEvent), ""),
    note(reach, unknown.join(" ")),
  ];
}

function toEvent(event) {
  const said = [event.status, event.words, event.traceId].filter((part) => part !== null).join(" · ");
  return [
    time(event.at),
    h("td", { class: event.kind === "delivered" ? "good" : null }, event.kind.replaceAll("_", "-") + (event.count > 1 ? " × " + count(event.count) : "")),
    h("td", { class: "wide" }, event.reason === null ? "" : code(event.reason), event.detail === null ? "" : " " + event.detail),
    event.fixAt === null ? "–" : time(event.fixAt),
    h("td", { class: "wide" }, said === "" ? "–" : said),
  ];
}

/** What the ledger has of each of these units at its destination. */
async function pingsOf(units) {
  const answers = await Promise.all(units.map(({ destination, unit }) => ask("/unit-pings", { destination, unit })));
  return Promise.all(answers.map(async (answer) => (answer.ok ? found(await answer.json()) : couldNotSay(answer))));
}

function say(text) {
  show(byId("found"), note(text));
}

function note(...children) {
  return h("p", { class: "note" }, children);
}

function found(answer) {
  const { unit, pings, more, speedUnit } = answer;
  const rows = pings.map((ping) => [
    time(ping.fixAt),
    h("td", { class: ping.fate === "delivered" ? "good" : "bad" }, ping.fate.replace("_", "-")),
    after(ping.fixAt, ping.receivedAt),
    after(ping.receivedAt, ping.settledAt),
    ping.latitude.toFixed(5) + ", " + ping.longitude.toFixed(5),
    ping.speed === null ? "–" : count(Math.round(ping.speed)) + " " + speedUnit,
    ping.heading === null ? "–" : Math.round(ping.heading) + "° " + COMPASS[Math.round(ping.heading / 45) % 8],
    h("td", { class: "wide" }, detailsText(ping.details)),
    h("td", { title: [ping.batchId, ping.traceId].filter(Boolean).join(" · ") }, code(ping.outcome), ping.status === null ? "" : " " + ping.status),
    h("td", { title: ping.device }, ping.source),
  ]);
  const columns = ["fix", "became", "received after", "settled after", "place", "speed", "heading", "details", "its batch", "source"];
  const reach = answer.reachesBackTo === null ? "The ledger is empty." : ["The ledger reaches back to ", time(answer.reachesBackTo), "."];
  return [
    nowOf(answer),
    table("Pings of " + unit + ", last 24 hours", columns.map((title) => ({ title })), rows, "Nothing came to an end."),
    note(more ? "There are more; /api/v1/unit-pings takes fromUtc and toUtc. " : null, reach),
  ];
}

function nowOf({ now, toUtc }) {
  const parts = [
    now.acceptedFixAt === null ? "ServiceTitan has accepted nothing of it" : ["Newest accepted fix ", time(now.acceptedFixAt), ", " + age(Math.max(0, Date.parse(toUtc) - Date.parse(now.acceptedFixAt))) + " ago"],
    [" · ", (now.complete ? "" : "at least ") + count(now.waiting), " waiting, ", count(now.inFlight), " in flight"],
    now.held.map(({ source, fixAt }) => [" · ", h("b", null, "held"), " from " + source + ", fix ", time(fixAt), ": no mapping row names this device"]),
  ];
  return h("p", null, parts);
}

function after(from, to) {
  return h("td", { title: to }, age(Math.max(0, Date.parse(to) - Date.parse(from))));
}

/** Words in the order a person would say them. */
function detailsText(details) {
  if (details === null) return "–";
  const { street, city, region, postalCode, ignition, odometerM, accuracyM, altitudeM, batteryPct, driver, vendorEvent } = details;
  const given = (value, words) => (value === undefined ? null : words(value));
  const parts = [
    [street, city, [region, postalCode].filter(Boolean).join(" ")].filter(Boolean).join(", "),
    given(vendorEvent, (text) => "event " + text),
    given(driver, (text) => "driver " + text),
    given(ignition, (on) => "ignition " + (on ? "on" : "off")),
    given(odometerM, (m) => "odometer " + count(Math.round(m / 100) / 10) + " km"),
    given(accuracyM, (m) => "accurate to " + count(m) + " m"),
    given(altitudeM, (m) => "altitude " + count(Math.round(m)) + " m"),
    given(batteryPct, (pct) => "battery " + Math.round(pct) + " %"),
  ];
  return parts.filter(Boolean).join(" · ");
}
`;
