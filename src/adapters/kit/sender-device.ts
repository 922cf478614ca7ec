/** Names the device of senders that may name none: as the source says, else as the message or the URL does. */

import { z } from "zod";
import type { DecodeContext } from "./adapter.ts";
import { id } from "./fields.ts";

const name = z.string().min(1);

/** The source's option `deviceId`: the device itself, or where each message has it outside its body. */
export const senderDevice = z
  .union([name, z.strictObject({ query: name }), z.strictObject({ header: name })], {
    error: "must be a device's id, { query: name } or { header: name }",
  })
  .optional();

type Given = z.output<typeof senderDevice>;

/** The parameters of a URL under which it is found unasked. `id` is not among them: it is OsmAnd's. */
const URL_NAMES = ["device_id", "device"];

export function senderDeviceId(
  given: Given,
  inBody: string | null,
  { headers, query }: Pick<DecodeContext, "headers" | "query">,
): string | null {
  if (typeof given === "string") return given;
  if (given && "query" in given) return id.parse(query[given.query]);
  if (given && "header" in given) return id.parse(headers[given.header.toLowerCase()]);
  return inBody ?? id.parse(URL_NAMES.map((each) => query[each]).find((each) => each !== undefined));
}

/** Where outside the body it may come from. */
export function senderDevicePlace(given: Given): "header" | "query" | null {
  if (typeof given === "string") return null;
  return given && "header" in given ? "header" : "query";
}
