/** Browser script: the list of tenants, the worst first, with a search and pages; one row leads to one tenant's page. */

export const TENANTS_JS = `
import { h, show } from "./dom.js";
import { age, ago, count, figure } from "./words.js";

/** A person reads no more at once, and a page of them is drawn within a frame. */
const ROWS = 50;
const form = h(
  "form",
  { role: "search" },
  h("label", { for: "tenant-q" }, "Tenant, destination or source"),
  h("input", { id: "tenant-q", name: "q", type: "search", maxlength: "100", autocomplete: "off", spellcheck: "false" }),
);
const list = h("div", null);
let cursor = null;
let changed = () => undefined;

/** The address of the page of the list that is wanted now. */
export function tenantsPath() {
  const q = form.elements.q.value.trim();
  return "/tenants?" + new URLSearchParams({ limit: String(ROWS), ...(q === "" ? {} : { q }), ...(cursor === null ? {} : { cursor }) });
}

/** \`ask\` is called when another page of the list is wanted. */
export function onTenantsWanted(ask) {
  changed = ask;
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => {
  cursor = null;
  changed();
});

export function showTenants(element, status, tenants) {
  if (tenants === null) return show(element, []);
  if (!element.firstChild) element.append(h("div", { class: "panel tenants" }, h("h3", null, "Tenants, the worst first"), form, list));
  const { items, next } = tenants;
  const head = ["tenant", "names", "problems", "waiting", "in flight", "oldest", "newest accepted", "half of units", "sources", "last message"];
  show(
    list,
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Tenants" },
      h(
        "table",
        null,
        h("caption", null, items.length === 0 ? "No tenant has this in a name." : count(items.length) + (cursor === null && next === null ? " tenants" : " of " + count(status.counts.tenants) + " tenants")),
        h("thead", null, h("tr", null, head.map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", null, items.map((row, index) => toRow(row, index, status.at))),
      ),
    ),
    pages(next),
  );
}

function toRow(row, index, at) {
  const { error, warning } = row.problems;
  const pointer = "/tenants/items/" + index + "/";
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, h("a", { href: "/tenants/" + encodeURIComponent(row.tenant) }, row.tenant)),
    h("td", null, row.destinations.join(", ")),
    h("td", { class: error > 0 ? "bad" : null }, error + warning === 0 ? "–" : [error && error + " wrong", warning && warning + " to look at"].filter(Boolean).join(", ")),
    figure("td", pointer + "waiting", row.waiting),
    figure("td", pointer + "inFlight", row.inFlight),
    h("td", { class: "number" }, age(row.oldestWaitingAgeMs)),
    h("td", { class: "number" }, age(row.newestAcceptedAgeMs)),
    h("td", { class: "number" }, age(row.freshnessP50AgeMs)),
    h("td", { title: row.sources.join(", ") }, count(row.sources.length)),
    h("td", null, ago(row.lastMessageAt, at)),
  );
}

function pages(next) {
  if (cursor === null && next === null) return null;
  const first = h("button", { type: "button", id: "tenants-first", disabled: cursor === null }, "First page");
  const later = h("button", { type: "button", id: "tenants-next", disabled: next === null, value: next }, "Next page");
  return h("p", { class: "note" }, first, " ", later);
}

// Buttons are patched in place, so one listener stays right where theirs would be those of the first drawing.
list.addEventListener("click", ({ target }) => {
  if (!(target instanceof HTMLButtonElement)) return;
  cursor = target.id === "tenants-next" ? target.value : null;
  changed();
});
`;
