/** Browser script: what operators did, asked for now and then. */

export const TRAIL_JS = `
import { ask } from "./ask.js";
import { h, show, table } from "./dom.js";
import { code, count, time } from "./words.js";

/** Operators are slower than positions. */
const EVERY_MS = 15000;
const ENTRIES = 20;
let askedAt = -EVERY_MS;

export async function showTrail(element) {
  if (performance.now() - askedAt < EVERY_MS) return;
  askedAt = performance.now();
  try {
    const trail = await ask("/audit?limit=" + ENTRIES);
    if (trail !== null) show(element, panel(trail.items));
  } catch {
    // The status says that nothing answers.
  }
}

function panel(entries) {
  const rows = entries.map((entry) => [
    time(entry.at),
    entry.by ?? "–",
    code(entry.action),
    h("td", { class: "wide" }, Object.entries(entry.filter).map(([name, value]) => name + " " + value).join(", ") || "–"),
    h("td", { class: "number" }, entry.count === null ? "–" : count(entry.count)),
    h("td", { class: entry.outcome === "done" ? "good" : "bad" }, entry.outcome.replace("_", " ")),
    entry.from ?? "–",
  ]);
  const columns = ["at", "by", "did", "with", "count", "ended", "from"];
  return table("What operators did", columns.map((title) => ({ title, kind: title === "count" ? "number" : undefined })), rows, "Nothing is written down yet.");
}
`;
