/** Takes one message through decode and validate and says everything that came out: for a person, never for storage. */

import type { Adapter, Authenticated } from "../adapters/kit/adapter.ts";
import { type DecodeResult, decode } from "../adapters/kit/decode.ts";
import { type Details, type FieldDefect, type Rejection, validate } from "../reading.ts";
import { CURRENT_MS, iso } from "../time.ts";
import { type Assembler, createAssembler } from "./assembler.ts";
import { type Logins, partForeign } from "./speaks-for.ts";

export interface Decoded {
  kind: "decoded" | "ignored" | "handshake" | "malformed";
  readings: {
    deviceId: string;
    fixTime: string;
    latitude: number;
    longitude: number;
    speedMps: number | null;
    headingDeg: number | null;
  }[];
  rejections: Rejection[];
}

/** What an adapter made of one message, validated by ranges only: age belongs to destinations, duplicates to storage. */
export interface Examined extends Decoded {
  readings: (Decoded["readings"][number] & { details?: Details })[];
  /** The event's name, when ignored. */
  what: string | null;
  problems: string[];
  defects: FieldDefect[];
}

export function examine(
  adapter: Adapter,
  message: Authenticated,
  settings: Pick<Parameters<typeof decode>[2], "speedUnit" | "options"> & { logins?: Logins },
  /** The same for all messages of a sequence. */
  assembler: Assembler = createAssembler(),
): Examined {
  const result = decode(adapter, message, { ...settings, credentials: { secrets: [] } });
  return examineDecoded(adapter, message, result, { logins: settings.logins, assembler });
}

/** The same of a message that is decoded already. */
export function examineDecoded(
  adapter: Adapter,
  message: Authenticated,
  result: DecodeResult,
  { logins, assembler }: { logins?: Logins | undefined; assembler: Pick<Assembler, "assemble"> },
): Examined {
  const examined: Examined = {
    kind: result.kind,
    what: result.kind === "ignored" ? result.what : null,
    problems: result.kind === "malformed" ? result.problems : [],
    readings: [],
    rejections: [],
    defects: [],
  };
  if (result.kind !== "decoded") return examined;
  const { receivedAt, retained } = message;
  const ages = { maxAgeMs: Infinity, maxAheadMs: Infinity, rolloverAfterMs: CURRENT_MS };
  const context = { receivedAt, retained, resent: message.resent, ...ages };
  // Only a configured source knows which login may speak for what.
  const { own, foreign } = partForeign(result.rawReadings, logins && message.login, logins);
  for (const { path } of foreign) examined.rejections.push({ reason: "foreign_device", path });
  for (const rawReading of assembler.assemble(adapter.vendor, own, message)) {
    const validation = validate(rawReading, context);
    if (validation.kind === "rejected") {
      examined.rejections.push(validation.rejection);
      continue;
    }
    const { deviceId, fixTime, latitude, longitude, speedMps, headingDeg, details } = validation.reading;
    examined.readings.push({
      deviceId,
      fixTime: iso(fixTime),
      latitude,
      longitude,
      speedMps,
      headingDeg,
      ...(details && { details }),
    });
    examined.defects.push(...validation.defects);
  }
  return examined;
}
