/** Browser script: draws each destination as a line from its sources to ServiceTitan, and the accounting below. */

export const LINE_JS = `
import { h, show, svg } from "./dom.js";
import { age, ago, bytes, code, count, figure, plural } from "./words.js";

const MAX_SOURCES = 8;
const ROW_PX = 30;
/** The buffer in numbers: amber from here on, as in the diagnosis. */
const NEARLY_FULL = 0.8;
const OLD_MS = 30000;

/** The lines of one tenant; its document is at /api/v1/tenants/{tenant}. */
export function showLines(element, tenant) {
  show(element, tenant === null ? [] : tenant.destinations.map((destination, index) => line(tenant, destination, index)));
}

function line(status, destination, index) {
  const pointer = "/tenant/destinations/" + index + "/";
  const gate = gateOf(destination);
  const old = (destination.oldestWaitingAgeMs ?? 0) > OLD_MS;
  return h(
    "article",
    { class: "line " + gate.kind, "aria-label": "Destination " + destination.name },
    h(
      "header",
      null,
      h("h3", null, destination.name),
      h("p", null, "tenant ", code(destination.tenant), " · provider ", code(destination.provider), " · ", plural(destination.unitsKnown, "unit", "units"), silent(destination)),
    ),
    h(
      "div",
      { class: "track" },
      sources(status, destination),
      h(
        "div",
        { class: "station" + (old ? " old" : "") },
        h("div", { class: "rail" }, h("i", { class: "stop" })),
        h("p", { class: "name" }, "Waiting"),
        figure("p", pointer + "waiting", destination.waiting, { class: "big" }),
        h("p", { class: "note" }, destination.oldestWaitingAgeMs === null ? "nothing waits" : ["oldest ", h("b", null, age(destination.oldestWaitingAgeMs))]),
        buffer(destination),
        destination.held > 0 ? h("p", { class: "note" }, figure("span", pointer + "held", destination.held), " held, not mapped") : null,
      ),
      h(
        "div",
        { class: "station" },
        h("div", { class: "rail" }, h("i", { class: "stop" })),
        h("p", { class: "name" }, "In flight"),
        figure("p", pointer + "inFlight", destination.inFlight, { class: "big" }),
        lanes(destination, pointer),
      ),
      h(
        "div",
        { class: "station last" },
        h("div", { class: "rail gate" }, h("span", { class: "signal" }, gate.word), h("i", { class: "stop" })),
        h("p", { class: "name" }, "ServiceTitan"),
        freshness(destination),
        h("p", { class: "note" }, destination.lastOutcome === null ? "no attempt yet" : ["last attempt ", code(destination.lastOutcome), " ", ago(destination.lastOutcomeAt, status.at)]),
        h("p", { class: "note" }, gate.note),
        destination.deadLetters > 0 ? h("p", { class: "note" }, figure("span", pointer + "deadLetters", destination.deadLetters), " dead letters") : null,
      ),
    ),
  );

  function gateOf({ scopeGate, gate }) {
    const shut = gate.state !== "open" ? gate : scopeGate;
    const rate = Math.min(scopeGate.ratePerSecond, gate.ratePerSecond) + " requests/s";
    if (shut.state === "open") return { kind: "open", word: "open", note: "up to " + rate };
    if (shut.state === "ramping") return { kind: "ramping", word: "ramping", note: "now " + rate };
    const left = shut.untilMs === null ? null : shut.untilMs - Date.parse(status.at);
    const until = left !== null && left > 0 ? ", next try in " + age(left) : "";
    return { kind: shut.state, word: shut.state, note: ["because ", shut.reason === null ? "unknown" : code(shut.reason), until] };
  }
}

/** What a dispatcher sees: how old the positions on the map are. */
function freshness({ freshness, newestAcceptedAgeMs }) {
  if (freshness === null) {
    const note = newestAcceptedAgeMs === null ? "nothing accepted yet" : "newest position " + age(newestAcceptedAgeMs) + " old; no unit reported within the hour";
    return [h("p", { class: "big" }, "–"), h("p", { class: "note" }, note)];
  }
  const { units, p50AgeMs, p95AgeMs, maxAgeMs } = freshness;
  return [
    h("p", { class: "big" }, age(p50AgeMs)),
    h("p", { class: "note", title: "Age of the newest accepted position of each unit that reported within the hour" }, "old at half of ", plural(units, "unit", "units"), "; 19 of 20 ", h("b", null, age(p95AgeMs)), ", all ", h("b", null, age(maxAgeMs))),
  ];
}

function silent({ silentUnits }) {
  if (silentUnits.length === 0) return null;
  const names = silentUnits.map(({ unit, ageMs }) => unit + " (" + age(ageMs) + ")").join(", ");
  return [" · ", h("span", { class: "silent", title: names }, plural(silentUnits.length, "silent", "silent"))];
}

/** Names on the left, each joined by a curve to the rail on the right. */
function sources(status, destination) {
  const all = status.sources.map((source, index) => ({ source, index })).filter(({ source }) => source.destination === destination.name);
  const shown = all.slice(0, MAX_SOURCES);
  const rows = Math.max(1, shown.length);
  const height = rows * ROW_PX;
  const curves = shown.map((_, row) => {
    const y = row * ROW_PX + ROW_PX / 2;
    return svg("path", { d: "M0 " + y + " C26 " + y + " 22 " + ROW_PX / 2 + " 48 " + ROW_PX / 2 });
  });
  return h(
    "div",
    { class: "sources" },
    h(
      "ul",
      null,
      shown.map(({ source, index }) =>
        h(
          "li",
          null,
          h("span", { class: "name", title: source.name + ": " + source.vendor + " by " + source.transport }, source.name),
          h("span", { class: "note" }, figure("span", "/tenant/sources/" + index + "/accounting/messages", source.accounting.messages), " · ", ago(source.lastMessageAt, status.at)),
        ),
      ),
      shown.length === 0 ? h("li", null, h("span", { class: "note" }, "no source by default")) : null,
      all.length > shown.length ? h("li", null, h("span", { class: "note" }, count(all.length - shown.length) + " more")) : null,
    ),
    svg("svg", { class: "joins", viewBox: "0 0 48 " + height, width: "48", height: String(height), "aria-hidden": "true" }, curves),
  );
}

function buffer({ bufferBytes, bufferLimitBytes }) {
  const share = bufferBytes / bufferLimitBytes;
  const text = bytes(bufferBytes) + " of " + bytes(bufferLimitBytes);
  return h(
    "p",
    { class: "note" },
    h("meter", { min: "0", max: "1", high: String(NEARLY_FULL), optimum: "0", value: String(Math.min(1, share)), "aria-label": "Buffer, " + text, title: text }),
    " buffer " + (share > 0 && share < 0.01 ? "below 1" : Math.round(share * 100)) + " %",
  );
}

function lanes({ lanes, name }, pointer) {
  const row = (title, field, cell) =>
    h("tr", null, h("th", { scope: "row" }, title), lanes.map((lane, index) => cell(lane, pointer + "lanes/" + index + "/" + field)));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Lanes of " + name },
    h(
      "table",
      { class: "lanes" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "lane"), lanes.map((lane) => h("th", { scope: "col" }, String(lane.lane))))),
      h(
        "tbody",
        null,
        row("waiting", "waiting", (lane, at) => figure("td", at, lane.waiting)),
        row("in flight", "inFlight", (lane, at) => figure("td", at, lane.inFlight)),
        row("batch age", "batchAgeMs", (lane) => h("td", { class: "number" + (lane.batchAgeMs === null ? " zero" : ""), title: lane.batchId }, age(lane.batchAgeMs))),
      ),
    ),
  );
}

/** Each line of the identity, left side first. */
const GROUPS = [
  ["messages", "Messages", ["refused", "ignored", "handshakes", "malformed", "decoded"]],
  ["readings", "Readings", ["rejected", "duplicates"]],
  ["stored", "Stored", ["delivered", "deadLettered", "expired", "superseded", "dropped", "held", "waiting", "inFlight"]],
];
/** Soft hyphens let the heads of 18 columns fit a screen. */
const NAMES = {
  handshakes: "hand\\u00adshakes",
  malformed: "mal\\u00adformed",
  duplicates: "dupli\\u00adcates",
  deadLettered: "dead-lettered",
  superseded: "super\\u00adseded",
  inFlight: "in flight",
};

/** The sources of one tenant, and the sum over all that the token sees. */
export function showAccounting(element, status, tenant) {
  const number = (title, kind) => h("th", { scope: "col", class: "number" + kind }, title);
  const head = h(
    "tr",
    null,
    h("th", { scope: "col" }, "source"),
    GROUPS.map(([line, title, terms]) => [
      number(title, " first"),
      terms.map((term) => number(NAMES[term] ?? term, "")),
      line === "readings" ? number("stored", "") : null,
    ]),
    h("th", { scope: "col" }, "adds up"),
  );
  const row = (name, pointer, accounting, identity, kind) =>
    h(
      "tr",
      { class: kind },
      h("th", { scope: "row" }, name),
      GROUPS.map(([line, , terms]) => [
        figure("td", pointer + "accounting/" + line, accounting[line], { class: "number first" }),
        terms.map((term) => figure("td", pointer + "accounting/" + term, accounting[term])),
        line === "readings" ? figure("td", pointer + "accounting/stored", accounting.stored) : null,
      ]),
      addsUp(identity),
    );
  show(
    element,
    h(
      "div",
      { class: "panel accounting" },
      h(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Accounting" },
        h(
          "table",
          null,
          h("caption", null, "Accounting: each bold number is the sum of those to its right"),
          h("thead", null, head),
          h("tbody", null, (tenant?.sources ?? []).map((source, index) => row(source.name, "/tenant/sources/" + index + "/", source.accounting, source.identity, null))),
          h("tfoot", null, row(status.counts.sources === 1 ? "all" : "all " + count(status.counts.sources) + " sources", "/status/totals/", status.totals.accounting, status.totals.identity, "total")),
        ),
      ),
    ),
  );
}

function addsUp(identity) {
  const parted = Object.entries(identity).filter(([, by]) => by !== 0);
  if (parted.length === 0) return h("td", { class: "good" }, "✓ yes");
  return h("td", { class: "bad" }, parted.map(([line, by]) => line + " off by " + count(by)).join(", "));
}
`;
