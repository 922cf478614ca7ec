/** Browser script: asks for the status every two seconds, and answers the first question, is it healthy. */

export const MAIN_JS = `
import { h, show, svg } from "./page/dom.js";
import { showFinder } from "./page/find.js";
import { showAccounting, showLines } from "./page/line.js";
import { showEvents } from "./page/lately.js";
import { showParts } from "./page/settings.js";
import { showTrail } from "./page/trail.js";
import { age, count, figure, plural } from "./page/words.js";

const EVERY_MS = 2000;
/** The gateway answers within 4 s even when Redis hangs. */
const ANSWER_WITHIN_MS = 8000;
/** Two minutes of refreshes in the little curves. */
const MAX_POINTS = 60;

const byId = (id) => document.getElementById(id);
const history = [];
let lastGoodAt = null;
let timer = null;

async function refresh() {
  timer = null;
  try {
    const answer = await fetch("/status", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    if (answer.status === 401) return location.assign("/login");
    const status = await answer.json();
    if (status.sources) showStatus(status);
    else showUnanswered(status);
  } catch {
    showHealth([unanswered()]);
    showStale("no answer");
  }
  if (!document.hidden) timer ??= setTimeout(refresh, EVERY_MS);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  timer = null;
  if (!document.hidden) refresh();
});

function showStatus(status) {
  lastGoodAt = new Date(status.at);
  remember(status);
  document.body.classList.remove("stale");
  show(byId("freshness"), "Live · " + lastGoodAt.toLocaleTimeString("en-GB"));
  showProcess(status.process);
  showHealth(status.problems);
  showFigures(status);
  showLines(byId("lines"), status);
  showAccounting(byId("accounting"), status);
  showFinder(status);
  showEvents(byId("events"), status);
  showTrail(byId("trail"));
  showParts(byId("parts"), status);
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
  showHealth(status.problems);
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

function showHealth(problems) {
  const errors = problems.filter((problem) => problem.severity === "error").length;
  const warnings = problems.length - errors;
  const state = errors > 0 ? "error" : warnings > 0 ? "warning" : "ok";
  const parts = [];
  if (errors > 0) parts.push(plural(errors, "thing is wrong", "things are wrong"));
  if (warnings > 0) parts.push(plural(warnings, "thing deserves a look", "things deserve a look"));
  const text = problems.length === 0 ? "All is well." : parts.join(", ") + ".";
  byId("headline").className = "headline " + state;
  show(byId("headline"), sign(state), h("span", null, text));
  document.title = (problems.length === 0 ? "✓" : "(" + problems.length + ")") + " Waypost";
  show(byId("problems"), problems.map(toProblem));
}

function toProblem(problem) {
  return h(
    "li",
    { class: "problem " + problem.severity },
    sign(problem.severity),
    h("p", { class: "what" }, h("strong", null, problem.where), " ", problem.what),
    h("p", { class: "next" }, h("b", null, "Next: "), problem.doNext),
  );
}

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
  const oldest = Math.max(-1, ...status.destinations.map((destination) => destination.oldestWaitingAgeMs ?? -1));
  const fresh = status.destinations.map((destination) => destination.newestAcceptedAgeMs).filter((ms) => ms !== null);
  show(
    byId("figures"),
    tile("Waiting", figure("span", "/totals/accounting/waiting", total.waiting, { class: "big" }), oldest < 0 ? "nothing waits" : "oldest " + age(oldest)),
    tile("In flight", figure("span", "/totals/accounting/inFlight", total.inFlight, { class: "big" }), plural(status.jobs.active, "batch being sent", "batches being sent")),
    tile("Delivered", figure("span", "/totals/accounting/delivered", total.delivered, { class: "big" }), fresh.length === 0 ? "nothing yet" : "newest is " + age(Math.min(...fresh)) + " old"),
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

refresh();
`;
