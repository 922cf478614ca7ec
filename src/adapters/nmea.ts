/** NMEA 0183 sentences of a receiver, one or several in each message: RMC, or GGA, GNS and GLL where no RMC comes. */

import { z } from "zod";
import { AT_RECEIPT, type RawReading } from "../reading.ts";
import { type DecodeContext, defineAdapter } from "./kit/adapter.ts";
import { degrees, isoTime, knots } from "./kit/fields.ts";
import { deviceInTopic, topicDevice } from "./kit/topic-device.ts";

/** As many as one receiver sends in one second; a message with more is malformed. */
const MAX_LINES = 1000;

/** `GPRMC` without the talker: what a sentence is about. */
type Sentence =
  | { kind: "whole"; type: string; fields: readonly string[] }
  /** Its checksum is wrong or missing, so nothing in it can be trusted; null where not even its type can be read. */
  | { kind: "damaged"; type: string | null; problem: string };

/** Where one sentence was cut off, the next begins in the middle of a line. A tag block (version 4.10) may stand before it. */
const LINE_ENDS = /\r\n|\r|\n|\\[^\\]*\\|(?=[$!])/;

const sentences = z
  .string()
  .transform((text) => text.split(LINE_ENDS, MAX_LINES + 1).map((line) => line.trim()))
  .refine((lines) => lines.length <= MAX_LINES, "more lines than a receiver says at once")
  .refine((lines) => lines.some((line) => /^[$!]/.test(line)), "holds no NMEA sentence")
  .transform((lines) => lines.filter((line) => line !== "").map(sentenceIn));

/** Without a date and a speed: the time of day, and in front of it what each has in front of the place. */
const WITHOUT_DATE: Readonly<Record<string, number>> = { GGA: 2, GNS: 2, GLL: 1 };

export const nmea = defineAdapter({
  vendor: "nmea",
  docs: "https://gpsd.gitlab.io/gpsd/NMEA.html",
  evidence: "documented",
  transports: ["mqtt"],
  auth: [],
  format: "text",
  speedUnit: "knots",
  options: topicDevice,
  ignore: (raw) => (raw === "" ? "empty" : otherSentence(raw)),
  ignores: "messages without RMC, GGA, GNS and GLL: satellites, courses and the like",
  payload: sentences,
  decode: (lines, context) => {
    const deviceId = deviceInTopic(context.topic, context.options);
    const hasRmc = lines.some(({ type }) => type === "RMC");
    const seen = new Set<string>();
    const rawReadings = lines.flatMap((line, index): RawReading[] => {
      const at = { path: `[${index}]`, deviceId };
      if (line.kind === "damaged") {
        const isAPlace = line.type === null || line.type === "RMC" || (!hasRmc && line.type in WITHOUT_DATE);
        return isAPlace ? [{ ...at, ...NOTHING, isDamaged: true }] : [];
      }
      if (line.type === "RMC") return [{ ...at, ...positionIn(line.fields), role: "lead" }];
      if (hasRmc || !(line.type in WITHOUT_DATE)) return [];
      const place = placeIn(line, context);
      // A receiver says each place in several sentences.
      const [time = ""] = line.fields.slice(line.type === "GLL" ? 5 : 1);
      if (seen.has(time)) return [];
      seen.add(time);
      return [{ ...at, ...place, role: "stand-in" }];
    });
    if (rawReadings.length > 0) return rawReadings;
    const problems = lines.flatMap((line, index) =>
      line.kind === "damaged" ? `[${index}]: ${line.type ?? "a sentence"} ${line.problem}` : [],
    );
    return problems.length > 0 ? { problems } : rawReadings;
  },
});

const A_PLACE = new RegExp(`[$!][A-Z]{2}(?:${["RMC", ...Object.keys(WITHOUT_DATE)].join("|")}),`);

/** The type of the first sentence, if all are whole and none says a place. */
function otherSentence(raw: unknown): string | null {
  // Most messages have a place, and need not be taken apart twice.
  if (typeof raw === "string" && A_PLACE.test(raw)) return null;
  const { data } = sentences.safeParse(raw);
  const isOther = (line: Sentence) =>
    line.kind === "whole" && line.type !== "RMC" && !(line.type in WITHOUT_DATE);
  return data?.every(isOther) ? (data[0]?.type ?? null) : null;
}

/** `$GPRMC,…*57`: two hexadecimal digits, the exclusive or of all characters between `$` and `*`. */
function sentenceIn(line: string): Sentence {
  const [, content = "", given = ""] = /^[$!]([^$!*]*)(?:\*([0-9A-F]{2}))?$/i.exec(line) ?? [];
  const fields = content.split(",");
  // Proprietary ones begin with P, and have no talker.
  const [, own, usual] = /^(?:P([A-Z]{3,4})|[A-Z]{2}([A-Z]{3}))$/.exec(fields[0] ?? "") ?? [];
  const type = own ?? usual ?? null;
  let sum = 0;
  for (let at = 0; at < content.length; at++) sum ^= content.charCodeAt(at);
  const is = sum.toString(16).toUpperCase().padStart(2, "0");
  if (given !== "" && given.toUpperCase() === is && type !== null) return { kind: "whole", type, fields };
  const problem = given === "" ? "has no checksum" : `has the checksum ${given}, and should have ${is}`;
  return { kind: "damaged", type: type ?? typeAtStart(line), problem };
}

/** Of a sentence that is not one from end to end. */
function typeAtStart(line: string): string | null {
  return /^[$!](?:P|[A-Z]{2})([A-Z]{3}),/.exec(line)?.[1] ?? null;
}

const NOTHING = { fixTime: null, latitude: null, longitude: null, speedMps: null, headingDeg: null } as const;

const LATITUDE = /^([0-9]{2})([0-9]{2}(?:\.[0-9]+)?)$/;
const LONGITUDE = /^([0-9]{3})([0-9]{2}(?:\.[0-9]+)?)$/;

function positionIn(fields: readonly string[]): Omit<RawReading, "path" | "deviceId"> {
  const [, time = "", status, lat = "", northSouth, lon = "", eastWest, speed, course, date = ""] = fields;
  return {
    fixTime: timeOf(date, time),
    latitude: angle(LATITUDE, lat, northSouth, "N", "S"),
    longitude: angle(LONGITUDE, lon, eastWest, "E", "W"),
    speedMps: knots.parse(speed),
    headingDeg: degrees.parse(course),
    noFix: status !== "A",
  };
}

/** Of a sentence that knows the time of day alone; the date is that of its receipt. */
function placeIn(
  { type, fields }: Extract<Sentence, { kind: "whole" }>,
  context: DecodeContext<unknown>,
): Omit<RawReading, "path" | "deviceId"> {
  const [lat = "", northSouth, lon = "", eastWest, ...rest] = fields.slice(WITHOUT_DATE[type]);
  const [time, quality] = type === "GLL" ? rest : [fields[1], rest[0]];
  return {
    ...NOTHING,
    fixTime: timeToday(time ?? "", context),
    latitude: angle(LATITUDE, lat, northSouth, "N", "S"),
    longitude: angle(LONGITUDE, lon, eastWest, "E", "W"),
    noFix: !isFix(type, quality),
  };
}

/** GLL has a status, GNS a letter for each constellation (N: no fix), GGA a number (7 and 8: typed in, simulated). */
function isFix(type: string, quality = ""): boolean {
  if (type === "GLL") return quality === "A";
  return type === "GNS" ? /[^N]/.test(quality) : /^[1-6]$/.test(quality);
}

const DAY_MS = 86_400_000;

/** On the day that brings it closest to its receipt: shortly after midnight a sentence of before comes from yesterday. */
function timeToday(time: string, { receivedAt, mayBeOld }: DecodeContext<unknown>): RawReading["fixTime"] {
  if (time === "") return null;
  // Its day is not known; validate has the reason.
  if (mayBeOld) return AT_RECEIPT;
  const dateAt = (at: number) => new Date(at).toISOString().slice(0, 10);
  const [, hour, minute, second] = TIME.exec(time) ?? [];
  const at = isoTime.parse(`${dateAt(receivedAt)}T${hour}:${minute}:${second}Z`);
  if (at === null) return null;
  return at - DAY_MS * Math.round((at - receivedAt) / DAY_MS);
}

const TIME = /^([0-9]{2})([0-9]{2})([0-9]{2}(?:\.[0-9]{1,9})?)$/;
/** The first year of GPS: before it two digits are of this century. */
const FIRST_YEAR = 80;

/** `140326` and `092653.00`: two digits of a year. */
function timeOf(date: string, time: string): number | null {
  if (date === "" || time === "") return null;
  const [, day, month, year] = /^([0-9]{2})([0-9]{2})([0-9]{2})$/.exec(date) ?? [];
  const [, hour, minute, second] = TIME.exec(time) ?? [];
  const century = Number(year) >= FIRST_YEAR ? 19 : 20;
  return isoTime.parse(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/** Degrees and minutes written together, `ddmm.mmmm`. */
function angle(form: RegExp, text: string, side: string | undefined, plus: string, minus: string) {
  if (text === "") return null;
  const [, whole, minutes] = form.exec(text) ?? [];
  if (whole === undefined || Number(minutes) >= 60 || (side !== plus && side !== minus)) return Number.NaN;
  const deg = Number(whole) + Number(minutes) / 60;
  return side === plus ? deg : -deg;
}
