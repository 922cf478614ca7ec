/** A configured vendor without a network: its requests as they would be made, and what answers do to it, step by step. */

import { expect } from "vitest";
import { findAdapter } from "../../src/adapters/index.ts";
import type { PullAccount, PullContext, PullRequest, PullResult } from "../../src/adapters/kit/pull.ts";
import { validate } from "../../src/config/problems.ts";
import { pullOf } from "./polling.ts";

export const NOON = Date.UTC(2026, 2, 14, 12);

/** Vans as our invented vendor writes them. */
export const VANS = { readings: "vans", deviceId: "van", latitude: "lat", longitude: "lon", time: "at" };

export function van(name: string, minute = 0, lat = 39.1) {
  return { van: name, lat, lon: -94.6, at: new Date(NOON + minute * 60_000).toISOString() };
}

export interface Walk {
  context: PullContext;
  /** The request that would be made now. */
  request(): PullRequest;
  /** Path and query of that request. */
  asks(): string;
  /** What the vendor's answer means; the walk goes on as the poller does once all is stored. */
  answer(body: unknown, status?: number): PullResult;
  later(ms: number): void;
  /** A new process: what was stored is there, what was learned is not. */
  restart(): void;
}

export interface WalkOptions {
  vendor?: string;
  options?: unknown;
  account?: PullAccount;
  cursor?: string | null;
}

export function walk(settings: object, given: WalkOptions = {}): Walk {
  const {
    vendor = "json-pull",
    options = vendor === "json-pull" ? VANS : undefined,
    account = { secret: "s3cret", username: "anna" },
  } = given;
  const isOurs = vendor === "json-pull";
  const pull = pullOf(vendor, { ...(isOurs && { baseUrl: "https://api.vans.example" }), ...settings });
  const at: Walk = {
    context: {
      baseUrl: pull.baseUrl,
      account,
      options: findAdapter(vendor)?.options?.parse(options),
      cursor: given.cursor ?? null,
      since: NOON - 3_600_000,
      session: null,
      now: NOON,
      kept: pull.keeps ?? {},
    },
    request: () => pull.request(at.context),
    asks() {
      const { pathname, search } = new URL(at.request().url);
      return `${pathname}${search}`;
    },
    answer(body, status = 200) {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      const result = pull.parse({ status, headers: {}, text }, at.context);
      at.context = { ...at.context, ...after(result, at.context) };
      return result;
    },
    later(ms) {
      at.context = { ...at.context, now: at.context.now + ms };
    },
    restart() {
      at.context = { ...at.context, session: null };
    },
  };
  return at;
}

function after(result: PullResult, { cursor, kept }: PullContext): Partial<PullContext> {
  switch (result.kind) {
    case "page":
      return { session: result.session, cursor: result.cursor || cursor };
    case "session":
      return { session: result.session, kept: { ...kept, ...result.kept } };
    case "session_expired":
      return { session: result.session };
    default:
      return {};
  }
}

/** The rows of a page's message, or null where it has none. */
export function rowsIn(result: PullResult): unknown[] | null {
  if (result.kind !== "page") throw new Error(`no page, but ${result.kind}`);
  if (result.body === null) return null;
  const { polled } = JSON.parse(result.body) as { polled: { rows: { value: unknown }[] } };
  return polled.rows.map(({ value }) => value);
}

/** What `pull` may not say, by the setting's path. */
export function problemsOf(settings: object, vendor = "json-pull"): Record<string, string> {
  const pull = findAdapter(vendor)?.pull;
  if (!pull || !("settings" in pull)) throw new Error(`${vendor} is not described by settings`);
  const { findings } = validate(pull.settings, settings, () => []);
  return Object.fromEntries(findings.map(({ path, message }) => [path.join("."), message]));
}

/** The settings are refused at this path, and nowhere else. */
export function expectProblem(settings: object, path: string, message: RegExp | string): void {
  const problems = problemsOf({ baseUrl: "https://api.vans.example", ...settings });
  expect(problems).toEqual({ [path]: expect.stringMatching(message) });
}
