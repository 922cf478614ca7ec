/** Browser script: where is my ping? Asks for one unit when told to, and lists what became of its pings. */

export const FIND_JS = `
import { h, show, table } from "./dom.js";
import { age, code, count, time } from "./words.js";

/** Redis answers this in milliseconds; a thousand entries are read for it at most. */
const ANSWER_WITHIN_MS = 15000;
const COMPASS = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];

const byId = (id) => document.getElementById(id);
const form = byId("find");
/** A slow answer must not replace that of a later question. */
let latest = 0;

export function showFinder({ destinations }) {
  show(byId("find-destination"), destinations.map(({ name }) => h("option", { value: name }, name)));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = ++latest;
  const { destination, unit } = Object.fromEntries(new FormData(form));
  say("Looking…");
  const found = await ask(destination, unit.trim());
  if (question === latest) show(byId("found"), found);
});

async function ask(destination, unit) {
  try {
    const answer = await fetch("/pings?" + new URLSearchParams({ destination, unit }), {
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    if (answer.status === 401) location.assign("/login");
    if (!answer.ok) return note("The gateway could not say (" + answer.status + "). Redis may be away: see above.");
    return found(await answer.json());
  } catch {
    return note("No answer from the gateway. See above.");
  }
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
    note(more ? "There are more; /pings takes fromUtc and toUtc. " : null, reach),
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
