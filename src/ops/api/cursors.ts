/** Long lists in pages: a cursor says after which place of which list the next page begins. */

import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

/** The parameters of every long list. */
export const pageQuery = {
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(MAX_LIMIT)
    .default(DEFAULT_LIMIT)
    .openapi({ description: "How many there are on a page at most.", example: 20 }),
  cursor: z
    .string()
    .min(1)
    .max(1000)
    .optional()
    .openapi({ description: "`next` of the page before; opaque, and only for the same list and filter." }),
};

export const nextSchema = z.string().nullable().openapi({
  description: "The cursor of the next page; null where this is the last.",
});

/** Where a page ended: the sort key of its last item. */
export type Place = readonly (string | number)[];

/** A list and its filter; a cursor of one list does not fit another. */
export interface List {
  name: string;
  filter: Readonly<Record<string, string | number | undefined>>;
}

const content = z.tuple([z.string(), z.array(z.union([z.string(), z.number()]))]);

export function cursorOf(list: List, place: Place): string {
  return Buffer.from(JSON.stringify([printOf(list), place])).toString("base64url");
}

/** Undefined without a cursor; null for one that this list did not hand out: `isPlace` knows the form of its places. */
export function placeIn<P extends Place>(
  list: List,
  cursor: string | undefined,
  isPlace: (place: Place) => place is P,
): P | null | undefined {
  if (cursor === undefined) return undefined;
  try {
    const [print, place] = content.parse(JSON.parse(Buffer.from(cursor, "base64url").toString()));
    return print === printOf(list) && isPlace(place) ? place : null;
  } catch {
    return null;
  }
}

/** One page of a list that is in memory: sorted by `placeOf`, each part ascending. */
export function pageOf<T>(
  all: readonly T[],
  {
    list,
    after,
    limit,
    placeOf,
  }: { list: List; after?: Place | undefined; limit: number; placeOf(item: T): Place },
): { items: T[]; next: string | null } {
  const sorted = all
    .map((item) => ({ item, place: placeOf(item) }))
    .filter(({ place }) => after === undefined || compare(place, after) > 0)
    .sort((a, b) => compare(a.place, b.place));
  const shown = sorted.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(({ item }) => item),
    next: last !== undefined && sorted.length > shown.length ? cursorOf(list, last.place) : null,
  };
}

function compare(a: Place, b: Place): number {
  for (const [index, part] of a.entries()) {
    const other = b[index];
    if (part === other || other === undefined) continue;
    return part < other ? -1 : 1;
  }
  return 0;
}

/** Places of one form: `string` and `number` in this order. */
export function isPlaceOf(...types: readonly ("string" | "number")[]) {
  return (place: Place): place is Place =>
    place.length === types.length && place.every((part, index) => typeof part === types[index]);
}

function printOf({ name, filter }: List): string {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined);
  return createHash("sha256")
    .update(JSON.stringify([name, given.sort()]))
    .digest("base64url")
    .slice(0, 12);
}
