/** Reads recorded captures, line by line: vehicles' positions, or MQTT messages with the bytes they had. */

import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { z } from "zod";

export type CaptureLine =
  | {
      kind: "position";
      /** UTC milliseconds since 1970. */
      at: number;
      vehicle: string;
      /** As recorded. */
      time: string;
      /** Not validated here: a capture keeps its errors, and the gateway has to cope with them. */
      latitude: unknown;
      longitude: unknown;
      speedMps: unknown;
      headingDeg: unknown;
    }
  | { kind: "mqtt"; at: number; topic: string; payload: Uint8Array }
  | { kind: "unreadable" };

/** Sixteen times the longest message the gateway takes by MQTT. */
const MAX_LINE_CHARS = 4_194_304;

const instant = z.string().refine((text) => !Number.isNaN(Date.parse(text)));
const position = z.object({
  vehicle: z.string().min(1),
  t: instant,
  lat: z.unknown().optional(),
  lon: z.unknown().optional(),
  speedMps: z.unknown().optional(),
  headingDeg: z.unknown().optional(),
});
const mqttMessage = z.object({ receivedAt: instant, topic: z.string().min(1), payload: z.string() });

/** Rejects if the file cannot be read or is no whole gzip; a line of unknown form is `unreadable`. */
export async function* readCapture(file: string): AsyncGenerator<CaptureLine> {
  for await (const line of linesOf(file)) {
    if (line.trim() !== "") yield parseLine(line);
  }
}

function parseLine(line: string): CaptureLine {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return { kind: "unreadable" };
  }
  const message = mqttMessage.safeParse(json);
  if (message.success) {
    const { receivedAt, topic, payload } = message.data;
    return { kind: "mqtt", at: Date.parse(receivedAt), topic, payload: Buffer.from(payload, "utf8") };
  }
  const parsed = position.safeParse(json);
  if (!parsed.success) return { kind: "unreadable" };
  const { vehicle, t, lat, lon, speedMps, headingDeg } = parsed.data;
  return {
    kind: "position",
    at: Date.parse(t),
    vehicle,
    time: t,
    latitude: lat,
    longitude: lon,
    speedMps,
    headingDeg,
  };
}

async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of textOf(file)) {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_CHARS)
      throw new Error(`${file} has a line of more than ${MAX_LINE_CHARS} characters.`);
    yield* lines;
  }
  yield rest;
}

function textOf(file: string): Readable {
  const bytes = createReadStream(file);
  if (!file.endsWith(".gz")) return bytes.setEncoding("utf8");
  const gunzip = createGunzip();
  // A pipe does not pass errors on.
  bytes.on("error", (error) => gunzip.destroy(error));
  return bytes.pipe(gunzip).setEncoding("utf8");
}
