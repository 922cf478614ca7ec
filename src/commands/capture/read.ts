/** Reads recorded captures, line by line: vehicles' positions, or MQTT messages with the bytes they had. */

import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { z } from "zod";
import { isRecord, messageOf } from "../../untrusted.ts";

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
  | Unreadable;

export interface Unreadable {
  kind: "unreadable";
  /** In the file, blank lines included, from 1. */
  line: number;
  /** What is wrong with it, in words. */
  problem: string;
}

/** Sixteen times the longest message the gateway takes by MQTT. */
const MAX_LINE_CHARS = 4_194_304;

const instant = z.string().refine((text) => !Number.isNaN(Date.parse(text)), "is no time");
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
  let number = 0;
  for await (const line of linesOf(file)) {
    number++;
    if (line.trim() !== "") yield parseLine(line, number);
  }
}

function parseLine(text: string, line: number): CaptureLine {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { kind: "unreadable", line, problem: `is no JSON: ${messageOf(error)}` };
  }
  const message = mqttMessage.safeParse(json);
  if (message.success) {
    const { receivedAt, topic, payload } = message.data;
    return { kind: "mqtt", at: Date.parse(receivedAt), topic, payload: Buffer.from(payload, "utf8") };
  }
  const parsed = position.safeParse(json);
  if (!parsed.success) {
    const isMessage = isRecord(json) && ("topic" in json || "payload" in json);
    return {
      kind: "unreadable",
      line,
      problem: problemOf(isMessage ? message.error : parsed.error, isMessage),
    };
  }
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

/** The first thing that keeps it from being what it looks like. */
function problemOf({ issues: [issue] }: z.ZodError, isMessage: boolean): string {
  const what = isMessage ? "MQTT message" : "position";
  if (issue === undefined || issue.path.length === 0) return `is no ${what}: ${issue?.message ?? ""}`;
  return `is no ${what}: ${issue.path.join(".")}: ${issue.message}`;
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
