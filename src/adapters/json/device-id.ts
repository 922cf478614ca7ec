/** Where foreign JSON names the device: a path within each reading, or a place around it. */

import { z } from "zod";
import type { DecodeContext } from "../kit/adapter.ts";
import { path } from "../kit/expression.ts";

const DEVICE_ID =
  "must be a path, or one of { topicLevel: 2 }, { topicLevels: [2, 4] }, { header: X-Device }, { query: id }, { message: path }, { key: true }, and for a vendor that is asked { lookup: path }, { asked: true }";

const level = z.int().min(1);

/** Beside a path within each reading: levels of the topic counted from 1, a header, a query parameter, … */
const elsewhere = z
  .strictObject({
    topicLevel: level.optional(),
    /** Joined by a slash. */
    topicLevels: z.array(level).min(1).optional(),
    header: z.string().min(1).optional(),
    query: z.string().min(1).optional(),
    /** A path from the top of the message. */
    message: path.optional(),
    /** The readings are an object of objects or of lists, and its keys the devices. */
    key: z.literal(true).optional(),
    /** What the look-up of a vendor that is asked calls the device whose id is at this path. */
    lookup: path.optional(),
    /** The id that the vendor was asked for. */
    asked: z.literal(true).optional(),
  })
  .refine((place) => Object.keys(place).length === 1, DEVICE_ID);

export const deviceId = z.unknown().transform((given, context): z.output<typeof path | typeof elsewhere> => {
  const parsed = typeof given === "string" ? path.safeParse(given) : elsewhere.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  context.addIssue({ code: "custom", message: issue?.code === "custom" ? issue.message : DEVICE_ID });
  return z.NEVER;
});

export type DeviceId = z.output<typeof deviceId>;

/** One reading as it stands in the message; `key` where the readings are an object by device. */
export interface Found {
  path: string;
  value: unknown;
  key?: string;
  /** The device that was looked up or asked for. */
  device?: string;
}

export function deviceOf(
  from: DeviceId,
  { value, key, device }: Found,
  ofMessage: unknown,
  context: DecodeContext,
): unknown {
  if (typeof from === "function") return from(value);
  if (from.topicLevel !== undefined) return context.topic[from.topicLevel - 1];
  if (from.topicLevels !== undefined) return joined(from.topicLevels.map((at) => context.topic[at - 1]));
  if (from.header !== undefined) return context.headers[from.header.toLowerCase()];
  if (from.query !== undefined) return context.query[from.query];
  if (from.key) return key;
  return from.lookup || from.asked ? device : ofMessage;
}

export function outsideBody(from: DeviceId): "header" | "query" | null {
  if (typeof from === "function") return null;
  if (from.header !== undefined) return "header";
  return from.query === undefined ? null : "query";
}

function joined(levels: readonly (string | undefined)[]): string | null {
  return levels.every((level) => level) ? levels.join("/") : null;
}
