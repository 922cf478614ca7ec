/** Browser script: draws the status as it comes, answers the first question, is it healthy, and asks for the rest. */

export const MAIN_JS = `
import { ask } from "./page/ask.js";
import { h, show, svg } from "./page/dom.js";
import { showFinder } from "./page/find.js";
import { showAccounting, showLines } from "./page/line.js";
import { showEvents } from "./page/lately.js";
import { showParts } from "./page/settings.js";
import { follow } from "./page/stream.js";
import { onTenantsWanted, showTenants, tenantsPath } from "./page/tenants.js";
import { showTrail } from "./page/trail.js";
import { age, count, figure, plural, time } from "./page/words.js";

/** Two minutes of refreshes in the little curves. */
const MAX_POINTS = 60;
/** The parts below the status are asked for this often at most. */
const PARTS_EVERY_MS = 2000;
/** Of one tenant, the lists of so many sources and destinations are asked for. */
const MAX_LISTS = 5;

const byId = (id) => document.getElementById(id);
const history = [];
const wanted = new URLSearchParams(location.search).get("tenant") ?? (location.pathname === "/" ? null : decodeURIComponent(location.pathname.split("/").at(-1)));
/** What is drawn below the status; each part is null until it is there. */
const shown = { status: null, tenant: null, tenants: null, deliveries: null, letters: null, messages: null };
let lastGoodAt = null;
let partsAskedAt = -PARTS_EVERY_MS;
let partsTimer = null;
let listsOf = "";

follow(
  (status) => (status.available ? showStatus(status) : showUnanswered(status)),
  () => {
    showHealth({ problems: [unanswered()], problemCounts: { error: 1, warning: 0 } });
    showStale("no answer");
  },
);
onTenantsWanted(() => askParts());

function showStatus(status) {
  lastGoodAt = new Date(status.at);
  shown.status = status;
  remember(status);
  document.body.classList.remove("stale");
  show(byId("freshness"), "Live · " + lastGoodAt.toLocaleTimeString("en-GB"));
  showProcess(status.process);
  if (wanted === null) showHealth(status);
  showFigures(status);
  // The last change of several is not missed: it has no successor that would ask.
  partsTimer ??= setTimeout(askParts, Math.max(0, partsAskedAt + PARTS_EVERY_MS - performance.now()));
  draw();
}

function draw() {
  const { status, tenant, tenants } = shown;
  showTenants(byId("tenants"), status, tenants);
  showLines(byId("lines"), tenant);
  showAccounting(byId("accounting"), status, tenant);
  showEvents(byId("events"), shown);
  showParts(byId("parts"), shown);
  showFinder(tenant);
  showTrail(byId("trail"));
}

/** One tenant: that of the address, or the only one there is; otherwise the list of them. */
async function askParts() {
  clearTimeout(partsTimer);
  partsTimer = null;
  partsAskedAt = performance.now();
  if (document.hidden) return;
  try {
    const tenant = wanted ?? (shown.status.counts.tenants === 1 ? (await ask("/tenants?limit=1"))?.items[0]?.tenant : null);
    if (tenant) {
      shown.tenant = await ask("/tenants/" + encodeURIComponent(tenant));
      if (wanted !== null) showOneTenant();
    } else shown.tenants = (await ask(tenantsPath())) ?? shown.tenants;
    const [destination] = shown.tenant?.destinations ?? [];
    shown.deliveries = await ask("/deliveries" + (destination && wanted !== null ? "?destination=" + encodeURIComponent(destination.name) : ""));
    await askLists();
    draw();
  } catch {
    // The status says that nothing answers.
  }
}

/** What was set aside, asked for when there is more or less of it than before. */
async function askLists() {
  const { quarantine, deadLetters } = shown.status;
  const now = [quarantine.count, quarantine.bytes, deadLetters.count, deadLetters.bytes].join(" ");
  if (listsOf === now) return;
  const all = async (path, filters) => {
    const pages = await Promise.all(filters.slice(0, MAX_LISTS).map((filter) => ask(path + "?limit=10" + filter)));
    return pages.flatMap((page) => page?.items ?? []).sort((a, b) => b.at.localeCompare(a.at));
  };
  const filtersOf = (name, parts) => (wanted === null ? [""] : (parts ?? []).map((part) => "&" + name + "=" + encodeURIComponent(part.name)));
  shown.letters = deadLetters.count === 0 ? [] : await all("/dead-letters", filtersOf("destination", shown.tenant?.destinations));
  shown.messages = quarantine.count === 0 ? [] : await all("/quarantine", filtersOf("source", shown.tenant?.sources));
  listsOf = now;
}

function showOneTenant() {
  const { tenant } = shown;
  show(byId("where"), tenant === null ? "There is no tenant " + wanted + " here." : "Tenant " + wanted + " (" + tenant.tenant.destinations.join(", ") + ")", " · ", h("a", { href: "/" }, "all tenants"));
  if (tenant !== null) showHealth({ problems: tenant.problems, problemCounts: tenant.tenant.problems });
}

function unanswered() {
  const since = lastGoodAt === null ? "" : " since " + lastGoodAt.toLocaleTimeString("en-GB");
  return {
    severity: "error",
    where: "This page",
    what: "gets no answer from the gateway" + since + ". Everything below is old; nothing is known about now.",
    doNext: "See that the process runs and that this machine reaches its ops port. The page keeps asking.",
  };
}

/** The process answers but could not ask Redis: its problems are new, the numbers below are old. */
function showUnanswered(status) {
  showProcess(status.process);
  showHealth(status);
  showStale("Redis could not be asked");
}

function showStale(why) {
  document.body.classList.add("stale");
  const since = lastGoodAt === null ? "" : " since " + lastGoodAt.toLocaleTimeString("en-GB");
  show(byId("freshness"), "Stale" + since + ": " + why);
}

function showProcess(process) {
  show(byId("process"), "v" + process.version + " · Node " + process.node.replace("v", "") + " · pid " + process.pid + " · up " + age(process.uptimeS * 1000));
}

function showHealth({ problems, problemCounts }) {
  const { error: errors, warning: warnings } = problemCounts;
  const all = errors + warnings;
  const state = errors > 0 ? "error" : warnings > 0 ? "warning" : "ok";
  const parts = [];
  if (errors > 0) parts.push(plural(errors, "thing is wrong", "things are wrong"));
  if (warnings > 0) parts.push(plural(warnings, "thing deserves a look", "things deserve a look"));
  const text = all === 0 ? "All is well." : parts.join(", ") + ".";
  byId("headline").className = "headline " + state;
  show(byId("headline"), sign(state), h("span", null, text));
  document.title = (all === 0 ? "✓" : "(" + all + ")") + " Waypost";
  show(byId("problems"), problems.map(toProblem), all > problems.length ? h("li", { class: "note" }, count(all - problems.length) + " more: see /api/v1/problems.") : null);
}

function toProblem(problem) {
  return h(
    "li",
    { class: "problem " + problem.severity },
    sign(problem.severity),
    h("p", { class: "what" }, h("strong", null, problem.where), " ", problem.what),
    h("p", { class: "next" }, h("b", null, "Next: "), problem.doNext),
    problem.since ? h("p", { class: "about" }, h("code", { title: "docs/problems.md says when it appears and when it is gone." }, problem.kind), " · Since ", time(problem.since), " · " + WHOSE[problem.whose]) : null,
  );
}

/** Who has to act, in words. */
const WHOSE = {
  vendor: "the vendor's to mend",
  device: "the device's to mend",
  configuration: "our configuration's to mend",
  servicetitan: "ServiceTitan's to mend",
  machines: "our machines' to mend",
  waypost: "a fault of Waypost",
};

/** Shape and word say the same as the colour. */
function sign(state) {
  const shapes = {
    ok: svg("path", { d: "M5 12.5l4.5 4.5L19 7.5" }),
    warning: [svg("path", { d: "M12 4l9 16H3z" }), svg("path", { d: "M12 10v4.5M12 17v.5" })],
    error: [svg("path", { d: "M8 3h8l5 5v8l-5 5H8l-5-5V8z" }), svg("path", { d: "M9 9l6 6M15 9l-6 6" })],
  };
  const words = { ok: "Healthy", warning: "Warning", error: "Error" };
  return svg("svg", { class: "sign", viewBox: "0 0 24 24", role: "img", "aria-label": words[state] }, shapes[state]);
}

function remember(status) {
  const { stored, delivered } = status.totals.accounting;
  const at = Date.parse(status.at);
  if (history.at(-1)?.at !== at) history.push({ at, stored, delivered });
  if (history.length > MAX_POINTS) history.shift();
}

function showFigures(status) {
  const total = status.totals.accounting;
  const oldest = status.oldestWaitingAgeMs;
  const newest = status.newestAcceptedAgeMs;
  show(
    byId("figures"),
    tile("Waiting", figure("span", "/status/totals/accounting/waiting", total.waiting, { class: "big" }), oldest === null ? "nothing waits" : "oldest " + age(oldest)),
    tile("In flight", figure("span", "/status/totals/accounting/inFlight", total.inFlight, { class: "big" }), plural(status.jobs.active, "batch being sent", "batches being sent")),
    tile("Delivered", figure("span", "/status/totals/accounting/delivered", total.delivered, { class: "big" }), newest === null ? "nothing yet" : "newest arrived " + age(newest) + " ago"),
    tile("Stored per second", rate("stored"), curve("stored")),
    tile("Delivered per second", rate("delivered"), curve("delivered")),
  );
}

function tile(name, value, note) {
  return h("div", null, h("dt", null, name), h("dd", null, value, h("span", { class: "note" }, note)));
}

/** Over the last five refreshes. */
function rate(term) {
  const last = history.at(-1);
  const first = history.at(-6) ?? history[0];
  if (!last || last.at === first.at) return h("span", { class: "big" }, "–");
  const perSecond = ((last[term] - first[term]) * 1000) / (last.at - first.at);
  return h("span", { class: "big" }, perSecond < 10 ? Math.max(0, perSecond).toFixed(1) : count(Math.round(perSecond)));
}

function curve(term) {
  const rates = history.slice(1).map((point, index) => {
    const before = history[index];
    return Math.max(0, ((point[term] - before[term]) * 1000) / (point.at - before.at));
  });
  const top = Math.max(1, ...rates);
  const points = rates.map((value, index) => {
    const x = 120 - (rates.length - 1 - index) * 2;
    return x + "," + (22 - (value / top) * 20).toFixed(1);
  });
  return svg("svg", { class: "curve", viewBox: "0 0 120 24", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { d: "M0 23.5H120" }), svg("polyline", { points: points.join(" ") }));
}
`;
