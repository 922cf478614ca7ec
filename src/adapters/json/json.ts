/** The configurable adapter: our own documented format out of the box, and any other JSON by configured paths. */

import { z } from "zod";
import { SPEED_UNITS, type SpeedUnit } from "../../reading.ts";
import { type DecodeContext, defineAdapter, MAX_PROBLEMS, type Message } from "../kit/adapter.ts";
import { addressList, basic, bearer, customHeader, hmac, urlToken } from "../kit/auth.ts";
import type { Problems } from "../kit/each.ts";
import { type Each, each } from "../kit/each.ts";
import { compass, degrees, id, isRecord, number, part, toMps } from "../kit/fields.ts";
import { withJsonField } from "../kit/form.ts";
import { namedDetails } from "../kit/nested-place.ts";
import { namedIn } from "../kit/synonyms.ts";
import { anyTime } from "../kit/time-formats.ts";
import { jsonOptions } from "./variants.ts";

/** One object, or a list of them; latitude, longitude, time, speed and heading under any of their usual names. */
const item = part({ deviceId: id, speedUnit: z.unknown().optional() });
const NAMED = ["latitude", "longitude", "time"] as const;

export const json = defineAdapter({
  vendor: "json",
  docs: "src/adapters/README.md",
  evidence: "documented",
  transports: ["webhook", "mqtt"],
  auth: [
    bearer(),
    basic(),
    customHeader(),
    hmac({ algorithm: "sha256", encoding: "hex" }),
    urlToken(),
    addressList(),
  ],
  methods: ["POST", "GET"],
  format: (message) => (isForm(message) ? "form" : "json"),
  speedUnit: "optional",
  options: jsonOptions.optional(),
  settingProblems: ({ speedUnit, options }) =>
    options?.readsSpeed && speedUnit === undefined
      ? ["speedUnit: required where options.speed is given; a guess could be wrong by a factor of three"]
      : [],
  topicsRead: (options) => options?.topics ?? null,
  idOutsideBody: (options) => options?.idOutsideBody ?? null,
  unseal: (raw, { options, maxReadings }) =>
    options?.jsonField ? withJsonField(raw, options.jsonField, maxReadings) : { value: raw },
  ignore: (raw, context) => context.options?.ignored(raw, context) ?? null,
  ignores: "what `options.ignoreWhen` says, and what none of its `variants` fits",
  payload: z.unknown(),
  decode: (raw, context) =>
    context.options ? context.options.decode(raw, context) : decodeOwn(raw, context),
  malformedStatus: 400,
});

function decodeOwn(raw: unknown, { speedUnit }: DecodeContext): Each | Problems {
  const list = Array.isArray(raw) ? raw : [raw];
  const pathOf = (index: number) => (Array.isArray(raw) ? `[${index}]` : "");
  // One vehicle without a fix among a hundred is a raw reading to reject; if none has the fields, it is not our format.
  if (list.length > 0 && !list.some(isOurs)) {
    const first = list.slice(0, MAX_PROBLEMS);
    return { problems: first.flatMap((value, index) => problemsOf(value, pathOf(index))) };
  }
  return each(list, (value, index) => {
    if (isPlain(value)) return { path: pathOf(index), ...plainReading(value, speedUnit) };
    const { deviceId, speedUnit: unit } = item.parse(value);
    const named = namedIn(value);
    const details = namedDetails(named);
    return {
      path: pathOf(index),
      deviceId,
      fixTime: anyTime.parse(named.value("time")),
      latitude: degrees.parse(named.value("latitude")),
      longitude: degrees.parse(named.value("longitude")),
      speedMps: named.speed(...unitsOf(unit, speedUnit)),
      headingDeg: compass.parse(named.value("heading")),
      ...(details && { details }),
    };
  });
}

/** Our own names and no others, as nearly every message has them: looking for usual names would take three times as long. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (!isRecord(value)) return false;
  for (const key of Object.keys(value)) if (!OWN_NAMES.has(key)) return false;
  return OWN_NEEDED.every((key) => Object.hasOwn(value, key));
}
const OWN_NEEDED = ["deviceId", ...NAMED];
const OWN_NAMES: ReadonlySet<string> = new Set([...OWN_NEEDED, "speed", "speedUnit", "heading"]);

function plainReading(value: Record<string, unknown>, configured: SpeedUnit | undefined) {
  const [stated, assumed] = unitsOf(value.speedUnit, configured);
  return {
    deviceId: id.parse(value.deviceId),
    fixTime: anyTime.parse(value.time),
    latitude: degrees.parse(value.latitude),
    longitude: degrees.parse(value.longitude),
    speedMps: toMps(number.parse(value.speed), stated ?? assumed),
    headingDeg: compass.parse(value.heading),
  };
}

function isOurs(value: unknown): boolean {
  return isPlain(value) || (isRecord(value) && missingIn(value).length === 0);
}

function missingIn(value: Record<string, unknown>): string[] {
  const named = namedIn(value);
  return [
    ...(Object.hasOwn(value, "deviceId") ? [] : ["deviceId"]),
    ...NAMED.filter((field) => !named.has(field)),
  ];
}

function problemsOf(value: unknown, path: string): string[] {
  if (!isRecord(value)) return [`${path || "message"}: must be an object`];
  return missingIn(value).map((key) => `${path === "" ? "" : `${path}.`}${key}: is missing`);
}

/** What is stated of a bare speed, and what is assumed: metres per second; an unknown unit makes the speed unreadable. */
function unitsOf(given: unknown, configured: SpeedUnit | undefined): [SpeedUnit | undefined, SpeedUnit?] {
  if (given === undefined || given === null) return [configured, "mps"];
  return [SPEED_UNITS.find((unit) => unit === given)];
}

/** By content, too: curl calls every body a form by default. */
function isForm({ headers, body }: Message): boolean {
  if (!(headers["content-type"] ?? "").startsWith("application/x-www-form-urlencoded")) return false;
  return !/^\s*[{[]/.test(Buffer.from(body.subarray(0, 64)).toString("latin1"));
}
