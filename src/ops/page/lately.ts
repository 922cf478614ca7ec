/** Browser script: what happened lately: batches, rejections by reason, dead letters, quarantine. */

export const LATELY_JS = `
import { h, show, table } from "./dom.js";
import { age, bytes, code, count, figure, time } from "./words.js";

const GOOD_OUTCOME = "delivered";
const MAX_BATCHES = 12;
const MAX_LETTERS = 10;

const number = (title) => ({ title, kind: "number" });
const text = (title) => ({ title });

/** Each part is null until it is there. */
export function showEvents(element, { status, tenant, deliveries, letters, messages }) {
  show(
    element,
    h("div", { class: "column" }, deliveries && batches(deliveries), letters && deadLetters(status, letters)),
    h("div", { class: "column" }, tenant && reasons(tenant), messages && quarantine(status, messages)),
  );
}

function batches(ledger) {
  const rows = ledger.items.slice(0, MAX_BATCHES).map((batch, index) => [
    time(batch.at),
    batch.destination,
    figure("td", "/deliveries/items/" + index + "/pings", batch.pings),
    h("td", { class: batch.outcome === GOOD_OUTCOME ? "good" : "bad" }, batch.outcome),
    batch.status === null ? "–" : String(batch.status),
    age(batch.tookMs),
  ]);
  const reach = ledger.reachesBackTo === null ? "" : ", reaching back to ";
  const about = h("p", { class: "note" }, "Ledger: ", figure("span", "/deliveries/batches", ledger.batches), " batches, " + bytes(ledger.bytes) + reach, ledger.reachesBackTo === null ? null : time(ledger.reachesBackTo), ".");
  return withNote(table("Recent batches", [text("at"), text("destination"), number("pings"), text("outcome"), number("status"), number("took")], rows, "No batch was sent yet."), about);
}

/** What ingest turned down, by reason; the longest bar is the commonest. */
function reasons({ sources }) {
  const found = [];
  const groups = [
    ["rejectedBy", "rejected"],
    ["refusedBy", "refused"],
    ["defects", "defect"],
  ];
  sources.forEach((source, index) => {
    for (const [field, word] of groups) {
      for (const [reason, value] of Object.entries(source[field])) {
        if (value > 0) found.push({ word, reason, source: source.name, value, pointer: "/tenant/sources/" + index + "/" + field + "/" + reason });
      }
    }
    if (source.conflictingFixes > 0) {
      found.push({ word: "duplicate", reason: "conflicting_fix", source: source.name, value: source.conflictingFixes, pointer: "/tenant/sources/" + index + "/conflictingFixes" });
    }
  });
  found.sort((a, b) => b.value - a.value);
  const top = found[0]?.value ?? 1;
  const rows = found.map(({ word, reason, source, value, pointer }) => [
    code(reason),
    word,
    source,
    h("td", { class: "share" }, h("progress", { max: String(top), value: String(value), "aria-hidden": "true" })),
    figure("td", pointer, value),
  ]);
  return table("Turned down, by reason", [text("reason"), text("as"), text("source"), text(""), number("count")], rows, "Nothing was turned down.");
}

function deadLetters({ deadLetters }, letters) {
  const rows = letters.slice(0, MAX_LETTERS).map((letter) => [
    time(letter.at),
    letter.destination,
    letter.unit,
    code(letter.reason),
    h("td", { class: "wide" }, letter.message),
  ]);
  const about = h("p", { class: "note" }, figure("span", "/status/deadLetters/count", deadLetters.count), " stored, " + bytes(deadLetters.bytes) + ".");
  return withNote(table("Dead letters", [text("at"), text("destination"), text("unit"), text("reason"), text("ServiceTitan said")], rows, "ServiceTitan refused nothing for good."), about);
}

function quarantine({ quarantine }, messages) {
  const rows = messages.slice(0, MAX_LETTERS).map((message) => [
    time(message.at),
    message.source,
    code(message.reason),
    h("td", { class: "wide" }, message.problem),
    h("td", null, h("a", { href: "/api/v1/quarantine/" + message.id + "?source=" + encodeURIComponent(message.source), title: "The message, whole" }, "open")),
  ]);
  const oldest = quarantine.oldestAt === null ? "" : ", the oldest from ";
  const about = h("p", { class: "note" }, figure("span", "/status/quarantine/count", quarantine.count), " stored, " + bytes(quarantine.bytes) + oldest, quarantine.oldestAt === null ? null : time(quarantine.oldestAt), ".");
  return withNote(table("Quarantine", [text("at"), text("source"), text("reason"), text("problem"), text("")], rows, "Every authenticated message could be decoded."), about);
}

function withNote(panel, note) {
  panel.append(note);
  return panel;
}
`;
