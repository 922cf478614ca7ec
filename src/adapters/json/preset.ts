/** Makes an adapter of fixed options of the json adapter, under a name of its own; the source's options are laid over them. */

import { z } from "zod";
import type { SpeedUnit } from "../../reading.ts";
import { type Adapter, defineAdapter, type Message } from "../kit/adapter.ts";
import { isRecord } from "../kit/fields.ts";
import { withJsonField } from "../kit/form.ts";
import { jsonOptions, withoutNulls } from "./variants.ts";

interface Preset extends Pick<Adapter, "vendor" | "docs" | "evidence" | "unknown" | "speedUnit" | "ignores"> {
  /** The usual topics; with them the format comes by MQTT. */
  topics?: readonly string[];
  /** With methods of authentication it comes by webhook. */
  auth?: Adapter["auth"];
  /** The unit of speed unless the source states another. */
  unit?: SpeedUnit;
  /** What a message in plain words is. */
  words?: string;
  /** As a source would set them; the source's own options override these, and null removes one. */
  options: Record<string, unknown>;
}

/** The adapter's options schema: what a source leaves out comes from the preset. */
function over(options: Preset["options"]) {
  return z
    .unknown()
    .transform((own): unknown => {
      if (own !== undefined && !isRecord(own)) return own;
      return withoutNulls({ ...options, ...own });
    })
    .pipe(jsonOptions);
}

export function preset({ unit, words, options, topics, auth, ...facts }: Preset): Adapter {
  return defineAdapter({
    ...facts,
    ...(topics && { topics }),
    transports: [...(auth ? (["webhook"] as const) : []), ...(topics ? (["mqtt"] as const) : [])],
    auth: auth ?? [],
    format: (message) => (words !== undefined && isWords(message) ? "text" : "json"),
    options: over(options),
    topicsRead: (read) => read.topics,
    idOutsideBody: (read) => read.idOutsideBody,
    unseal: (raw, { options, maxReadings }) =>
      options.jsonField ? withJsonField(raw, options.jsonField, maxReadings) : { value: raw },
    ignore: (raw, context) => {
      const other = context.options.ignored(raw, context);
      return other ?? (words !== undefined && typeof raw === "string" && WORDS.test(raw) ? words : null);
    },
    payload: z.unknown(),
    decode: (raw, { speedUnit, ...context }) =>
      context.options.decode(raw, { ...context, speedUnit: speedUnit ?? unit }),
  });
}

const WORDS = /^\s*(?!(?:true|false|null)\s*$)\p{L}[\p{L}\p{N} _.'-]{0,63}\s*$/u;

function isWords({ body }: Message): boolean {
  return !/^\s*(?:[[{"0-9-]|(?:true|false|null)\s*$)/.test(
    Buffer.from(body.subarray(0, 64)).toString("latin1"),
  );
}
