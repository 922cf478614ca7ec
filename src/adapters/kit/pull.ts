/** The part of an adapter for a vendor that has to be asked: the next request, and what an answer means. Pure, like the rest. */

import type { ZodType } from "zod";

/** What a pull source is configured with. */
export interface PullAccount {
  /** Token or password; empty where the vendor wants none. Never logged. */
  secret: string;
  username?: string;
  database?: string;
}

export interface PullContext<Session = unknown, Options = unknown> {
  /** Where the vendor is asked first, without a slash at its end. */
  baseUrl: string;
  account: PullAccount;
  options: Options;
  /** Where the last page ended; null at the first start, and after the vendor has forgotten it. */
  cursor: string | null;
  /** Without a cursor: how far back fixes are wanted, UTC milliseconds since 1970. */
  since: number;
  /** What the adapter learned from earlier answers; null in a new process and after it expired. */
  session: Session | null;
  /** UTC milliseconds since 1970. */
  now: number;
  /** What earlier logins left for the next one, by name: see `keeps`. */
  kept: Readonly<Record<string, string>>;
}

export interface PullRequest {
  method: "GET" | "POST";
  url: string;
  headers: Record<string, string>;
  body?: string;
  /** Counts against `loginsPerHour`; refused twice in a row, it is asked again an hour later. */
  isLogin?: true;
}

export interface PullAnswer {
  status: number;
  /** Names in lower case. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
  text: string;
}

/** Passes by itself. */
export type PullTrouble =
  | `http_${number}`
  | "vendor_unavailable"
  | "unreadable_answer"
  /** An error of a kind that is not known here; `detail` has the vendor's word for it. */
  | "vendor_error";

/** Does not pass until a person changes something here or at the vendor. */
export type PullRefusal =
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "bad_request"
  | "over_limit"
  | "redirect"
  | "foreign_host"
  /** The vendor's name leads into our own network. */
  | "private_address"
  /** Logins in a row were refused: another try too soon may lock the account. */
  | "login_refused"
  | "too_many_logins";

export type PullResult<Session = unknown> =
  /**
   * Fixes, or none yet. `body` becomes the message, in the form that `payload` reads; null where there is nothing in it.
   * An empty cursor leaves the old one in force. `more`: the vendor has the next page ready; without a cursor that moves,
   * at most 100 pages follow each other. The session is adopted once the page is stored.
   */
  | {
      kind: "page";
      body: string | null;
      cursor: string;
      more: boolean;
      session: Session | null;
      /** Readings in the answer, and how many of them say nothing new and are not in `body`. */
      rows?: { read: number; unchanged: number };
    }
  /** Learned something on the way to the fixes; ask again. `kept` is stored, sealed, before the session is used. */
  | { kind: "session"; session: Session; kept?: Readonly<Record<string, string>> }
  /** `session` is what is still worth knowing. */
  | { kind: "session_expired"; session: Session | null }
  /** The vendor does not know the cursor, or not any more. */
  | { kind: "cursor_refused" }
  /** For as long as `Retry-After` says, else for `waitMs`, where the vendor says it in the answer. */
  | { kind: "throttled"; waitMs?: number }
  | { kind: "unavailable"; reason: PullTrouble; detail: string }
  | { kind: "refused"; reason: PullRefusal; detail: string };

export interface Pull<Session = unknown, Options = unknown> {
  /** Where the vendor is asked unless the source names another region. */
  baseUrl: string;
  /** The only hosts that may see the credentials; a host that an answer names has to match as well. */
  hosts: RegExp;
  /** What the configuration must give. */
  needs: readonly ("secret" | "username" | "database")[];
  /** How long to wait when nothing is left to fetch: what the vendor asks for at least, and what is usual. */
  minIntervalMs: number;
  intervalMs: number;
  /** Between any two requests. */
  minGapMs: number;
  /** After so long without being used a cursor is forgotten; null: never, as far as is known. */
  cursorLifetimeMs: number | null;
  /** Says what is read, where the settings decide it: another feed has another cursor. */
  feed?: string;
  /** Default: no limit. */
  loginsPerHour?: number;
  /** What has to outlive the process for the next login, such as a refresh token that changes: its first values, by name. */
  keeps?: Readonly<Record<string, string>>;
  request: (context: PullContext<Session, Options>) => PullRequest;
  parse: (answer: PullAnswer, context: PullContext<Session, Options>) => PullResult<Session>;
}

/** A vendor that the source describes: the schema of its `pull` settings gives the poller. */
export interface ConfigurablePull {
  settings: ZodType<Pull>;
  /** What a source has to give whatever else it sets, for docs/vendors.md: names under `auth`, paths under `pull`. */
  needs: readonly string[];
}

/** Gives `request` and `parse` the types of their session and options; the engine hands back only what it was given. */
export function definePull<Session, Options = undefined>(pull: Pull<Session, Options>): Pull {
  return pull as unknown as Pull;
}

/** What a status alone says; null where the body has to be read. */
export function troubleOf(status: number): PullResult<never> | null {
  if (status === 200) return null;
  const detail = `HTTP ${status}`;
  if (status === 429) return { kind: "throttled" };
  if (status === 401) return { kind: "refused", reason: "unauthorized", detail };
  if (status === 403) return { kind: "refused", reason: "forbidden", detail };
  if (status === 404 || status === 405) return { kind: "refused", reason: "not_found", detail };
  if (status >= 300 && status <= 399) return { kind: "refused", reason: "redirect", detail };
  if (status === 408 || status >= 500) return { kind: "unavailable", reason: `http_${status}`, detail };
  if (status >= 400) return { kind: "refused", reason: "bad_request", detail };
  return { kind: "unavailable", reason: "unreadable_answer", detail };
}

/** JSON, or undefined: nothing that JSON can say. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
