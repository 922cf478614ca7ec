/** What `pull` may say for a configured vendor, and the problems that only show between its settings. */

import { z } from "zod";
import { path } from "../kit/expression.ts";
import { isRecord } from "../kit/fields.ts";
import { answersShape } from "./answers.ts";
import { login } from "./login.ts";
import { lookup } from "./lookup.ts";
import { paging } from "./paging.ts";
import { placeholdersOf, type RequestSpec, requestProblems, requestShape } from "./request.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const ms = z.int().min(0).max(DAY_MS);

const address = z
  .url({ protocol: /^https?$/ })
  .refine((text) => URL.canParse(text) && new URL(text).username === "" && !/[?#{}]/.test(text), {
    message: "must be an address without a query, a login and placeholders",
  });

const shape = z.strictObject({
  baseUrl: address.optional(),
  /** Other hosts that may get the credentials: that of the login, for example. */
  hosts: z.array(z.string().regex(/^[a-z0-9.-]+$/i, "must be the name of a host")).default([]),
  /** Allows an address of our own network, and a name that leads to one. */
  privateNetwork: z.boolean().default(false),
  /** How long to wait when nothing is left to fetch. */
  intervalMs: ms.min(1000).optional(),
  /** Between any two requests. */
  minGapMs: ms.optional(),
  requestsPerMinute: z.int().min(1).max(6000).optional(),
  /** At most so many logins an hour; more mean that something is wrong, and vendors count them as misuse. */
  loginsPerHour: z.int().min(1).max(600).default(30),
  login: login.optional(),
  lookup: lookup.optional(),
  ...requestShape,
  page: paging.optional(),
  /** Asks for a stretch of time, from where the last one ended: `{since}` to `{until}`. */
  window: z
    .strictObject({
      /** How late a fix may come in at the vendor. */
      overlapMs: ms.default(2 * MINUTE_MS),
      widestMs: z
        .int()
        .min(MINUTE_MS)
        .max(31 * DAY_MS)
        .default(DAY_MS),
    })
    .optional(),
  /** Goes on for ever where it stopped, by the vendor's cursor or by the newest time among its readings. */
  feed: z
    .union([
      z.strictObject({ cursor: path, more: path.optional() }),
      z.strictObject({ newest: path, size: z.int().min(1).optional() }),
    ])
    .optional(),
  answers: answersShape.default({}),
  /** `lines`: one JSON value on each line. */
  format: z.enum(["json", "lines"]).default("json"),
});
export type PullSettings = z.output<typeof shape> & { baseUrl: string };

type Report = (at: (string | number)[], message: string) => void;

export const pullSettings = shape.superRefine((settings, context) => {
  const report: Report = (path, message) => void context.addIssue({ code: "custom", path, message });
  if (settings.baseUrl === undefined)
    report(["baseUrl"], "is required: nobody else knows the vendor's address");
  checkFeeds(settings, report);
  const requests: [string | null, RequestSpec | undefined][] = [
    [null, settings],
    ["login", settings.login],
    ["lookup", settings.lookup],
  ];
  for (const [name, spec] of requests) {
    if (!spec) continue;
    const at = name === null ? [] : [name];
    for (const [key, message] of requestProblems(spec)) report([...at, key], message);
    checkHost([...at, "url"], spec.url, settings, report);
  }
  checkPlaceholders(settings, report);
});

/** What would get stuck, or leave out fixes in silence. */
function checkFeeds(settings: z.output<typeof shape>, report: Report): void {
  const { window, feed, page } = settings;
  if (window && feed) report(["feed"], "does not go with window");
  if (window && window.overlapMs >= window.widestMs)
    report(["window", "overlapMs"], "must be less than widestMs, or the window never moves on");
  const isInParts = placeholdersOf(settings).some((name) => name === "ids" || name === "id");
  // A feed goes on after each answer: what other pages and devices have before that would not be asked for.
  if (feed && (page || isInParts))
    report(
      ["feed"],
      `does not go with ${page ? "page" : "{ids} or {id}"}: take window, which moves on once all is read`,
    );
}

/** Also where another setting is wrong: what is not there yet is nobody's host. */
function checkHost(
  at: string[],
  url: string | undefined,
  { baseUrl, hosts }: Pick<PullSettings, "hosts"> & { baseUrl?: string | undefined },
  report: Report,
): void {
  if (url === undefined) return;
  const origin = url.split(/[/?#]/).slice(0, 3).join("/");
  if (!URL.canParse(origin) || /[{}]/.test(origin)) return;
  const host = new URL(origin).hostname;
  const own = baseUrl !== undefined && URL.canParse(baseUrl) ? new URL(baseUrl).hostname : null;
  if (host !== own && !hosts.includes(host))
    report(at, `is at ${host}, which hosts does not name: it would get the credentials`);
}

function checkPlaceholders(settings: z.output<typeof shape>, report: Report): void {
  const { login: logsIn, lookup: looksUp, page, window, feed } = settings;
  const main = new Set(placeholdersOf(settings));
  const before = new Set(logsIn ? placeholdersOf(logsIn) : []);
  const asked = new Set(looksUp ? placeholdersOf(looksUp) : []);
  const all = new Set([...main, ...before, ...asked]);
  const has = (name: string) => [...main].some((each) => each === name || each.startsWith(`${name}.`));
  const needs = (name: string, isThere: boolean, where: string, what: string) => {
    if (has(name) && !isThere) report([mainPart(settings, name)], `has {${name}}, which needs ${what}`);
    if (!has(name) && isThere) report([where], `has no use: the request has no {${name}}`);
  };
  const usesToken =
    main.has("token") || asked.has("token") || [...all].some((name) => name.startsWith("kept."));
  if (usesToken && !logsIn) report([mainPart(settings, "token")], "has {token}, which needs login");
  if (!usesToken && logsIn) report(["login"], "has no use: no request has {token}");
  needs("page", page?.by === "number", "page", "page: { by: number }");
  needs("offset", page?.by === "offset", "page", "page: { by: offset }");
  const hasCursor = page?.by === "cursor" || (feed !== undefined && "cursor" in feed);
  needs("cursor", hasCursor, feed ? "feed" : "page", "page: { by: cursor } or feed: { cursor: … }");
  const hasSince = window !== undefined || (feed !== undefined && "newest" in feed);
  needs("since", hasSince, window ? "window" : "feed", "window or feed: { newest: … }");
  if (has("until") && !window) report([mainPart(settings, "until")], "has {until}, which needs window");
  checkEarlier("login", logsIn, /^(token|page|offset|cursor|ids?|since|until)\b/, report);
  checkEarlier("lookup", looksUp, /^(page|offset|cursor|ids?|since|until)\b/, report);
  const usesIds = has("ids") || has("id");
  if (usesIds && !looksUp) report([mainPart(settings, "id")], "has {ids} or {id}, which needs lookup");
  if (looksUp && !usesIds && !looksUp.device)
    report(["lookup"], "has no use: the request has no {ids} and it gives no device");
  if (has("id") && looksUp && looksUp.chunk !== 1)
    report(["lookup", "chunk"], "must be 1 where the request has {id}");
  for (const name of all) {
    if (!name.startsWith("kept.")) continue;
    const kept = logsIn?.keep?.[name.slice("kept.".length)];
    if (!kept)
      report(["login", "keep"], `must name ${name.slice("kept.".length)}, which a request has as {${name}}`);
    else if (before.has(name) && kept.first === undefined)
      report(
        ["login", "keep", name.slice("kept.".length), "first"],
        "is required: the login itself needs it",
      );
  }
}

/** A request that is made before the round cannot know what the round brings. */
function checkEarlier(at: string, spec: RequestSpec | undefined, later: RegExp, report: Report): void {
  for (const name of spec ? placeholdersOf(spec) : []) {
    if (later.test(name))
      report([at, mainPart(spec ?? {}, name)], `has {${name}}, which it does not know yet`);
  }
}

/** The setting of the request that holds a placeholder, for the message about it. */
function mainPart(settings: RequestSpec, name: string): string {
  const parts = ["path", "url", "query", "headers", "bearer", "basic", "json", "form"] as const;
  const holds = (part: unknown): boolean =>
    typeof part === "string"
      ? part.includes(`{${name}`)
      : Array.isArray(part)
        ? part.some(holds)
        : isRecord(part) && Object.values(part).some(holds);
  return parts.find((part) => holds(settings[part])) ?? "path";
}
