/** The request that tells which devices there are, before their positions are asked for, and the names they go by. */

import { z } from "zod";
import { path } from "../kit/expression.ts";
import { requestShape } from "./request.ts";
import type { Id } from "./template.ts";

const HOUR_MS = 3_600_000;
/** A new device is looked for no more often than this. */
const AGAIN_MS = 60_000;
/** No account has more; what a look-up says beyond is not asked for. */
const MAX_DEVICES = 50_000;

export const lookup = z.strictObject({
  ...requestShape,
  /** The list of devices in the answer. */
  at: path,
  /** Where each has the id to ask for; left out, the list holds the ids. */
  id: path.optional(),
  /** Where each has the id that the position goes by, for `deviceId: { lookup: … }`. */
  device: path.optional(),
  everyMs: z.int().min(AGAIN_MS).default(HOUR_MS),
  /** How many ids one request asks for, as `{ids}`; with 1 also as `{id}`. */
  chunk: z.int().min(1).max(10_000).default(100),
});
export type Lookup = z.output<typeof lookup>;

export interface Known {
  ids: readonly Id[];
  /** From the id to the one the position goes by. */
  devices: ReadonlyMap<string, string>;
  /** UTC milliseconds since 1970. */
  at: number;
}

/** Null where the list is not there. */
export function knownFrom({ at, id, device }: Lookup, content: unknown, now: number): Known | null {
  const list = at(content);
  if (!Array.isArray(list)) return null;
  const found = list.slice(0, MAX_DEVICES).flatMap((item) => {
    const own = id ? id(item) : item;
    const key = textOf(own);
    if (key === null) return [];
    return [{ key, id: typeof own === "number" ? own : key, name: device ? textOf(device(item)) : null }];
  });
  return {
    ids: [...new Set(found.map(({ id }) => id))],
    devices: new Map(found.flatMap(({ key, name }) => (name === null ? [] : [[key, name] as const]))),
    at: now,
  };
}

/** An empty list is looked up at each round: a customer adds the first device and waits for it. */
export function isDue({ everyMs }: Lookup, known: Known | null, isMissingOne: boolean, now: number): boolean {
  if (known === null || known.ids.length === 0) return true;
  return now - known.at >= (isMissingOne ? AGAIN_MS : everyMs);
}

export function textOf(value: unknown): string | null {
  if (typeof value === "number" && Number.isSafeInteger(value)) return String(value);
  return typeof value === "string" && value.trim() !== "" ? value.trim() : null;
}
