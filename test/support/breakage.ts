/** Breaks a message in every single place, one at a time, the way networks, firmware and vendors do. */

export interface Breakage {
  /** For the failure message: `data[1].gps.lat := null`. */
  what: string;
  body: string;
  /** The broken node, written as candidates write their paths. */
  path: string;
  /** Its own name: the last key of the path, or empty for list items and the whole message. */
  key: string;
  kind: "removed" | "made null" | "emptied list" | "removed item" | "junk" | "other name";
}

/** Stands for a number too large for a double, which only JSON text can hold. */
const HUGE = "\u0001huge";
/** None of these is a plausible value of anything, nor a plausible name of an event. */
const JUNK: readonly unknown[] = [null, "", " ", "§", {}, [], true, -1e12, HUGE];
/** A name that no vendor uses, but could. */
const OTHER_NAME = "someOtherThing";

/** Every breakage of a message in JSON. */
export function breakagesOfJson(body: string): Breakage[] {
  const root: unknown = JSON.parse(body);
  const found: Breakage[] = [];
  visit(root, [], (node, at) => {
    const path = textOf(at);
    const last = at.at(-1);
    const key = typeof last === "string" ? last : "";
    const add = (kind: Breakage["kind"], value: unknown, label: string) =>
      found.push({ what: `${path || "message"} ${label}`, body: bodyWith(root, at, value), path, key, kind });
    for (const junk of JUNK) {
      // As the whole message an empty list means what it means anywhere: that there is nothing.
      const emptied = Array.isArray(junk) && (Array.isArray(node) || at.length === 0);
      const kind = emptied ? "emptied list" : junk === null ? "made null" : "junk";
      add(kind, junk, `:= ${junk === HUGE ? "1e999" : JSON.stringify(junk)}`);
    }
    if (typeof node === "string") add("other name", OTHER_NAME, `:= "${OTHER_NAME}"`);
    if (at.length > 0) add(typeof last === "number" ? "removed item" : "removed", REMOVED, "removed");
  });
  return found;
}

/** Every breakage of a line of comma-separated text. */
export function breakagesOfLine(body: string): Breakage[] {
  const fields = body.split(",");
  return fields.flatMap((_, index) => {
    const replaced = ["", "§", "true", "-1000000000000", "1e999"].map((junk) => ({
      junk,
      rest: fields.with(index, junk),
    }));
    const removed = { junk: "removed", rest: fields.toSpliced(index, 1) };
    return [...replaced, removed].map(({ junk, rest }) => ({
      what: `field ${index} := ${junk}`,
      body: rest.join(","),
      path: `field ${index}`,
      key: "",
      kind: "junk" as const,
    }));
  });
}

/** Every breakage of a form or a query. */
export function breakagesOfForm(body: string): Breakage[] {
  const fields = [...new URLSearchParams(body)];
  return fields.flatMap(([key], index) => {
    const add = (kind: Breakage["kind"], label: string, rest: [string, string][]) => ({
      what: `${key} ${label}`,
      body: new URLSearchParams(rest).toString(),
      path: key,
      key,
      kind,
    });
    return [
      // Not `true`: in a form that is text, and text can be an id.
      ...["", " ", "§", "null", "-1000000000000", "1e999"].map((junk) =>
        add("junk", `:= ${junk}`, fields.with(index, [key, junk])),
      ),
      add("other name", `:= ${OTHER_NAME}`, fields.with(index, [key, OTHER_NAME])),
      add("removed", "removed", fields.toSpliced(index, 1)),
    ];
  });
}

const REMOVED = Symbol("removed");

function visit(
  node: unknown,
  at: (string | number)[],
  each: (node: unknown, at: (string | number)[]) => void,
): void {
  each(node, at);
  if (typeof node !== "object" || node === null) return;
  for (const [key, value] of Object.entries(node))
    visit(value, [...at, Array.isArray(node) ? Number(key) : key], each);
}

function bodyWith(root: unknown, at: readonly (string | number)[], value: unknown): string {
  return JSON.stringify(replaced(root, at, value)).replaceAll(JSON.stringify(HUGE), "1e999");
}

function replaced(node: unknown, [step, ...rest]: readonly (string | number)[], value: unknown): unknown {
  if (step === undefined) return value;
  if (Array.isArray(node) && typeof step === "number") {
    if (rest.length === 0 && value === REMOVED) return node.toSpliced(step, 1);
    return node.with(step, replaced(node[step], rest, value));
  }
  const entries = Object.entries(node as object);
  return Object.fromEntries(
    entries.flatMap(([key, child]) => {
      if (key !== step) return [[key, child]];
      return rest.length === 0 && value === REMOVED ? [] : [[key, replaced(child, rest, value)]];
    }),
  );
}

function textOf(at: readonly (string | number)[]): string {
  return at
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
    .join("")
    .replace(/^\./, "");
}
