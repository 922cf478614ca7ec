/** What every group of routes is given, and how a route answers while Redis does not. */

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Events } from "../../events/events.ts";
import type { Timelines } from "../../queue/lookup/timeline.ts";
import type { Eraser } from "../../queue/upkeep/erase.ts";
import type { Instructions } from "../../setup/instructions.ts";
import type { Guards } from "../access/door.ts";
import type { Links } from "../access/links.ts";
import type { OpsEnv, Sight, Topology } from "../access/sight.ts";
import type { Captures } from "../captures.ts";
import type { Lookup } from "../lookup.ts";
import type { Redriver } from "../redrive.ts";
import type { NoStatus, StatusDocument } from "../status-document.ts";
import type { Tenants } from "../tenants.ts";
import { refused } from "./errors.ts";
import type { LogLevel } from "./schema/operators.ts";

export type Api = OpenAPIHono<OpsEnv>;

/** What happened to single devices, and the list of them. */
export interface Devices extends Pick<Timelines, "findDevice" | "deviceTimeline" | "listDevices"> {
  /** Received minus fix of its last message, milliseconds; null where this process does not remember it. */
  clockOffsetOf(source: string, device: string): number | null;
}

export interface LogLevels {
  logLevel(): string;
  setLogLevel(level: LogLevel): void;
}

/** Reads the configuration again. */
export type ReloadRequest = () => Promise<
  | { kind: "applied" | "unchanged"; changes: readonly string[]; restart: readonly string[] }
  | { kind: "refused"; problems: readonly string[] }
  /** The gateway was started without files: there is nothing to read. */
  | { kind: "not_possible" }
>;

export type Within = NonNullable<Sight["within"]>;

export interface ApiDeps extends Lookup, LogLevels {
  version: string;
  topology: Topology;
  statusFor(sight: Sight): Promise<StatusDocument | NoStatus>;
  redrive: Redriver;
  captures: Captures;
  /** What to enter at the vendor of a source; null where there is no such source. */
  instructionsOf(source: string): Instructions | null;
  links: Links;
  erase: Eraser;
  reload: ReloadRequest;
  tenants: Tenants;
  devices: Devices;
  guards: Guards;
  events: Pick<Events, "failed">;
}

/** Null while Redis does not answer. */
export async function wholeStatus(c: Context<OpsEnv>, deps: ApiDeps): Promise<StatusDocument | null> {
  const status = await deps.statusFor(c.var.sight);
  return "sources" in status ? status : null;
}

export function unavailable(c: Context) {
  return refused(c, "unavailable");
}

export const TAGS = {
  gateway: "Gateway",
  tenants: "Tenants",
  devices: "Devices",
  pings: "Pings",
  setAside: "Set aside",
  operators: "Operators",
} as const;
