/** How the pages of one round follow each other: by number, by offset, by the vendor's cursor, or by its next address. */

import { createHash } from "node:crypto";
import { z } from "zod";
import { type Find, path } from "../kit/expression.ts";
import { numberAt } from "./answers.ts";
import type { Values } from "./template.ts";

/** More pages than any fleet has: a vendor whose pages do not end must not be asked for ever. */
const MAX_PAGES = 100;

const size = z.int().min(1).max(10_000);
/**
 * When a page of a counted kind is the last: by one of these, or it is the first that holds nothing. Never because it
 * holds fewer than another: `readings` may leave some of a page out.
 */
const ends = {
  /** How many a page has, as the request asks for. */
  size: size.optional(),
  /** Where the answer says how many there are in all. */
  total: path.optional(),
  /** Where the answer says how many pages there are in all. */
  pages: path.optional(),
  /** Holds on the last page. */
  until: path.optional(),
};

export const paging = z.discriminatedUnion("by", [
  z.strictObject({
    by: z.literal("number"),
    first: z.int().min(0).max(1).default(1),
    /** Asks for the first page by no number at all. */ omitFirst: z.boolean().default(false),
    ...ends,
  }),
  z.strictObject({ by: z.literal("offset"), ...ends, size }),
  /** Where the answer has the cursor of the next page: none, null or empty on the last. */
  z.strictObject({ by: z.literal("cursor"), next: path }),
  /** Where the answer has the address of the next page, on the same host. */
  z.strictObject({ by: z.literal("link"), next: path }),
]);
export type Paging = z.output<typeof paging>;

/** Where a round stands between two pages. */
export interface Place {
  /** Pages read so far. */
  read: number;
  /** Readings of the pages so far. */
  rows: number;
  cursor: string | null;
  link: string | null;
  /** Of the page before, to notice one that comes again. */
  digest: string;
}

export const START: Place = { read: 0, rows: 0, cursor: null, link: null, digest: "" };

export function placeValues(settings: Paging | undefined, { read, cursor }: Place): Values {
  switch (settings?.by) {
    case "number":
      return settings.omitFirst && read === 0 ? {} : { page: settings.first + read };
    case "offset":
      return { offset: read * settings.size };
    case "cursor":
      return { cursor: cursor ?? undefined };
    default:
      return {};
  }
}

/** The place of the next page, or null where the round ends. `rows`: readings of this page; `url`: where it was asked for. */
export function nextPlace(
  settings: Paging | undefined,
  place: Place,
  { answer, text, rows, url }: { answer: unknown; text: string; rows: number; url: string },
): Place | Foreign | null {
  if (!settings) return null;
  const digest = createHash("sha256").update(text).digest("base64");
  const read = place.read + 1;
  if (digest === place.digest || read >= MAX_PAGES) return null;
  const next = { ...place, read, rows: place.rows + rows, digest };
  if (settings.by === "cursor") {
    const cursor = textAt(settings.next, answer);
    return cursor === null || cursor === place.cursor ? null : { ...next, cursor };
  }
  if (settings.by === "link") {
    const link = linkFrom(textAt(settings.next, answer), url);
    if (link === FOREIGN) return FOREIGN;
    return link === null || link === place.link ? null : { ...next, link };
  }
  return isLast(settings, answer, rows, next) ? null : next;
}

function isLast(
  settings: Extract<Paging, { by: "number" | "offset" }>,
  answer: unknown,
  rows: number,
  { read, rows: sum }: Place,
): boolean {
  if (settings.until) return settings.until(answer) === true;
  const pages = numberAt(settings.pages, answer);
  if (pages !== null) return read >= pages;
  const total = numberAt(settings.total, answer);
  if (total !== null) return (settings.size === undefined ? sum : read * settings.size) >= total;
  return rows === 0;
}

function textAt(find: Find, answer: unknown): string | null {
  const found = find(answer);
  if (typeof found === "number") return String(found);
  return typeof found === "string" && found !== "" ? found : null;
}

/** The next page is at another host, which would get the credentials. */
export const FOREIGN = Symbol("foreign");
type Foreign = typeof FOREIGN;

/** A vendor's server behind a proxy takes itself for http: by its link the credentials would go over the line unencrypted. */
function linkFrom(link: string | null, url: string): string | Foreign | null {
  if (link === null) return null;
  if (!URL.canParse(link, url)) return FOREIGN;
  const [next, own] = [new URL(link, url), new URL(url)];
  const isOurs = /^https?:$/.test(next.protocol) && next.host === own.host && next.username === "";
  if (!isOurs) return FOREIGN;
  next.protocol = own.protocol;
  return next.href;
}
