/** NMEA 0183 sentences of a receiver, one or several sentences in each message; RMC alone carries date, place and speed. */

import { z } from "zod";
import type { RawReading } from "../reading.ts";
import { defineAdapter } from "./kit/adapter.ts";
import { degrees, isoTime, knots } from "./kit/fields.ts";
import { deviceInTopic, topicDevice } from "./kit/topic-device.ts";

/** As many as one receiver sends in one second; a message with more is malformed. */
const MAX_LINES = 1000;

/** `null` is a line whose checksum is wrong or missing: nothing in it can be trusted. */
type Sentence = readonly string[] | null;

const sentences = z
  .string()
  .transform((text) => text.split(/\r\n|\r|\n/, MAX_LINES + 1).map((line) => line.trim()))
  .refine((lines) => lines.length <= MAX_LINES, "more lines than a receiver says at once")
  .refine((lines) => lines.some((line) => /^[$!]/.test(line)), "holds no NMEA sentence")
  .transform((lines) => lines.filter((line) => line !== "").map(sentenceIn));

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
  ignores: "messages without RMC: GGA and GLL know the time but not the date",
  payload: sentences,
  decode: (lines, { topic, options }) => {
    const deviceId = deviceInTopic(topic, options);
    return lines.flatMap((fields, index) =>
      fields === null || isRmc(fields) ? [{ path: `[${index}]`, deviceId, ...positionIn(fields) }] : [],
    );
  },
});

/** The type of the first sentence, if all are whole and none is RMC. */
function otherSentence(raw: unknown): string | null {
  if (typeof raw !== "string" || raw.includes("RMC")) return null;
  const { data } = sentences.safeParse(raw);
  if (!data || data.includes(null)) return null;
  return /[A-Z]{3}$/.exec(data[0]?.[0] ?? "")?.[0] ?? null;
}

function isRmc([address = ""]: readonly string[]): boolean {
  return address.endsWith("RMC");
}

/** `$GPRMC,…*57`: two hexadecimal digits, the exclusive or of all characters between `$` and `*`. */
function sentenceIn(line: string): Sentence {
  const [, content = "", given = ""] = /^[$!]([^$!*]*)\*([0-9A-F]{2})$/i.exec(line) ?? [];
  let sum = 0;
  for (let at = 0; at < content.length; at++) sum ^= content.charCodeAt(at);
  return given !== "" && sum === Number.parseInt(given, 16) ? content.split(",") : null;
}

function positionIn(fields: Sentence): Omit<RawReading, "path" | "deviceId"> {
  const [, time = "", status, lat = "", northSouth, lon = "", eastWest, speed, course, date = ""] =
    fields ?? [];
  const unreadable = fields === null ? Number.NaN : null;
  return {
    fixTime: unreadable ?? timeOf(date, time),
    latitude: unreadable ?? angle(/^([0-9]{2})([0-9]{2}(?:\.[0-9]+)?)$/, lat, northSouth, "N", "S"),
    longitude: unreadable ?? angle(/^([0-9]{3})([0-9]{2}(?:\.[0-9]+)?)$/, lon, eastWest, "E", "W"),
    speedMps: knots.parse(speed),
    headingDeg: degrees.parse(course),
    noFix: fields !== null && status !== "A",
  };
}

/** `140326` and `092653.00`: two digits of a year of this century. */
function timeOf(date: string, time: string): number | null {
  if (date === "" || time === "") return null;
  const [, day, month, year] = /^([0-9]{2})([0-9]{2})([0-9]{2})$/.exec(date) ?? [];
  const [, hour, minute, second] = /^([0-9]{2})([0-9]{2})([0-9]{2}(?:\.[0-9]{1,9})?)$/.exec(time) ?? [];
  return isoTime.parse(`20${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/** Degrees and minutes written together, `ddmm.mmmm`. */
function angle(form: RegExp, text: string, side: string | undefined, plus: string, minus: string) {
  if (text === "") return null;
  const [, whole, minutes] = form.exec(text) ?? [];
  if (whole === undefined || Number(minutes) >= 60 || (side !== plus && side !== minus)) return Number.NaN;
  const deg = Number(whole) + Number(minutes) / 60;
  return side === plus ? deg : -deg;
}
