/** Makes an adapter of a vendor that is asked by settings alone: what is fixed for it, under what the source sets. */

import { z } from "zod";
import type { RawReading, SpeedUnit } from "../../reading.ts";
import { jsonOptions, withoutNulls } from "../json/variants.ts";
import { type Adapter, type DecodeContext, defineAdapter, type Message } from "../kit/adapter.ts";
import { MAX_READINGS } from "../kit/bounds.ts";
import { type Each, each, type Problems } from "../kit/each.ts";
import { isRecord } from "../kit/fields.ts";
import { contentOf } from "./answers.ts";
import { pullOf } from "./pull.ts";
import { placeholdersOf } from "./request.ts";
import { polledRows, type Row, type RowReading, type RowState } from "./rows.ts";
import { pullSettings } from "./settings.ts";

export interface Polled extends Pick<Adapter, "vendor" | "docs" | "evidence" | "speedUnit"> {
  /** What is not known, for docs/vendors.md. */
  unknown?: string;
  /** The unit of speed unless the source states another. */
  unit?: SpeedUnit;
  /** As a source would set it; the source's own settings override these, objects key by key, and null removes one. */
  pull: Readonly<Record<string, unknown>>;
  /** The vendor's hosts; left out, any that the source names. */
  hosts?: RegExp;
  /** The shortest interval that the vendor bears, milliseconds. */
  minIntervalMs?: number;
  /** Settings under `pull` that only the customer knows, each with what it is. */
  requires?: readonly (readonly [path: readonly string[], what: string])[];
  /** How a reading is found in an answer: options of the json adapter, or another adapter for each row. */
  options?: Readonly<Record<string, unknown>>;
  rows?: { in: string; adapter: Adapter };
}

/** How an answer is read, as the parsed options of a source have it. */
interface Reading extends RowReading {
  readsSpeed: boolean;
  /** Nothing says how an answer is read. */
  isMissing?: true;
  decodeRows(rows: readonly Row[], facts: unknown, context: DecodeContext): ReturnType<Adapter["decode"]>;
}

export function polled(vendor: Polled): Adapter {
  const { unit, pull, hosts, minIntervalMs, requires, options, rows, ...facts } = vendor;
  const schema = rows ? ofAdapter(rows) : ofPaths(options, unit);
  return defineAdapter({
    ...facts,
    transports: ["pull"],
    auth: [],
    format: (message) => (pull.format === "lines" && !isOurs(message) ? "text" : "json"),
    options: schema,
    settingProblems: ({ speedUnit, options }) => [
      ...(options.isMissing ? ["options: is required: the paths at which an answer holds its readings"] : []),
      ...(options.readsSpeed && unit === undefined && speedUnit === undefined
        ? ["speedUnit: required where a speed is read; a guess could be wrong by a factor of three"]
        : []),
    ],
    payload: z.unknown(),
    decode: (raw, context) => {
      const { options } = context;
      const within = { ...context, speedUnit: context.speedUnit ?? unit };
      const sent = polledRows(raw);
      if (sent?.rows.length === 0) return { problems: ["polled.rows: must hold something"] };
      if (sent) return options.decodeRows(sent.rows, sent.facts, within);
      const answer =
        typeof raw === "string" && pull.format === "lines"
          ? contentOf(raw, "lines", context.maxReadings)
          : raw;
      const found = options.rowsOf(answer);
      return "problems" in found ? found : options.decodeRows(found, options.factsOf(answer), within);
    },
    pull: { settings: settingsOver(vendor), needs: needsOf(vendor) },
  });
}

function needsOf({ pull, requires = [] }: Polled): string[] {
  const used = placeholdersOf(pull);
  const account = ["username", "secret"].filter((name) => used.includes(name));
  return [...account, ...requires.map(([path]) => path.join("."))];
}

/** A message that the poller wrote; anything else is an answer of the vendor as it was saved. */
function isOurs({ body }: Message): boolean {
  return /^\s*\{\s*"polled"\s*:/.test(Buffer.from(body.subarray(0, 64)).toString("latin1"));
}

function settingsOver({ pull, hosts, minIntervalMs = 1000, requires = [] }: Polled) {
  return z
    .unknown()
    .transform((own, context) => {
      const merged = over(pull, own ?? {});
      for (const [path, what] of requires) {
        if (typeof at(merged, path) === "string") continue;
        context.addIssue({ code: "custom", path: [...path], message: `is required: ${what}` });
      }
      return merged;
    })
    .pipe(pullSettings)
    .superRefine(({ baseUrl, intervalMs }, context) => {
      const host = baseUrl === undefined || !URL.canParse(baseUrl) ? null : new URL(baseUrl);
      const isTheirs = host?.protocol === "http:" || hosts === undefined || hosts.test(host?.hostname ?? "");
      if (host && !isTheirs) {
        const message = "must be at a host of the vendor, which gets the credentials";
        context.addIssue({ code: "custom", path: ["baseUrl"], message });
      }
      if (intervalMs !== undefined && intervalMs < minIntervalMs) {
        const message = `must be at least ${minIntervalMs}: the vendor asks for that`;
        context.addIssue({ code: "custom", path: ["intervalMs"], message });
      }
    })
    .transform(({ baseUrl = "", ...settings }) => ({ ...pullOf({ ...settings, baseUrl }), minIntervalMs }));
}

/** Key by key, so that a source sets one header without repeating the others. */
function over(fixed: unknown, own: unknown): unknown {
  if (!isRecord(fixed) || !isRecord(own)) return own;
  const merged = Object.entries(own).map(([key, value]) => [key, over(fixed[key], value)] as const);
  return withoutNulls({ ...fixed, ...Object.fromEntries(merged) });
}

function at(value: unknown, [step, ...rest]: readonly string[]): unknown {
  if (step === undefined) return value;
  return isRecord(value) ? at(value[step], rest) : undefined;
}

/** By paths, as the json adapter has them. */
function ofPaths(fixed: Polled["options"], unit: SpeedUnit | undefined) {
  const given = z
    .unknown()
    .transform((own): unknown =>
      own !== undefined && !isRecord(own) ? own : withoutNulls({ ...fixed, ...own }),
    )
    .pipe(jsonOptions)
    .transform(({ rows, readsSpeed }, context): Reading => {
      if (rows === null) {
        const message = "has no use: a vendor that is asked gives one kind of answer";
        context.addIssue({ code: "custom", path: ["variants"], message });
        return z.NEVER;
      }
      const decodeRows: Reading["decodeRows"] = (found, facts, context) =>
        rows.decode(found, isRecord(facts) ? facts : {}, context);
      return {
        readsSpeed,
        rowsOf: rows.in,
        factsOf: (answer) => {
          const facts = rows.ofMessage(answer);
          return Object.keys(facts).length === 0 ? undefined : facts;
        },
        ...(rows.lookup && { lookedUp: (row: Row) => rows.lookup?.(row.value) }),
        isAsked: rows.isAsked,
        stateOf: (row, facts, now) => stateIn(decodeRows([row], facts, contextAt(now, unit))),
        decodeRows,
      };
    });
  return fixed ? given : given.optional().transform((options): Reading => options ?? MISSING);
}

const MISSING: Reading = {
  isMissing: true,
  readsSpeed: false,
  rowsOf: () => ({ problems: ["message: without options nothing says where the readings are"] }),
  factsOf: () => undefined,
  isAsked: false,
  stateOf: () => ({ kind: "unknown" }),
  decodeRows: () => [],
};

/** By another adapter, to which each row is a message. */
function ofAdapter({ in: name, adapter }: NonNullable<Polled["rows"]>) {
  const schema = adapter.options ?? z.undefined();
  return schema.transform((options): Reading => {
    const decodeRow = ({ path, value }: Row, context: DecodeContext): readonly RawReading[] => {
      const payload = adapter.payload.safeParse(value);
      const decoded = payload.success ? adapter.decode(payload.data, { ...context, options }) : null;
      if (!Array.isArray(decoded))
        return [{ ...UNREAD, path: [path, ...wrongPlace(payload.error)].join(".") }];
      return decoded.map((reading) => ({ ...reading, path: `${path}.${reading.path}` }));
    };
    return {
      readsSpeed: false,
      rowsOf: (answer) => {
        if (!Array.isArray(answer)) return { problems: ["message: must be a list"] };
        if (answer.length > 0 && !answer.some((item) => isRecord(item) && name in item))
          return { problems: [`message: must hold an object with ${name} on each line`] };
        return answer.map((item: unknown, index) => ({
          path: `[${index}].${name}`,
          value: isRecord(item) ? item[name] : undefined,
        }));
      },
      factsOf: () => undefined,
      isAsked: false,
      stateOf: (row, _, now) => {
        const within = contextAt(now, undefined);
        const isOther = typeof adapter.ignore?.(row.value, { ...within, options }) === "string";
        return stateIn(isOther ? [] : decodeRow(row, within));
      },
      decodeRows: (rows, _, context) => each(rows, (row) => decodeRow(row, context)),
    };
  });
}

/** Of several shapes the first is the usual one. */
function wrongPlace(error: z.ZodError | undefined): string[] {
  const [issue] = error?.issues ?? [];
  const nearest = issue?.code === "invalid_union" ? issue.errors[0]?.[0] : issue;
  return (nearest?.path ?? []).map(String);
}

/** A row that its adapter cannot read: rejected by name, like any reading without a device. */
const UNREAD: RawReading = {
  path: "",
  deviceId: null,
  fixTime: null,
  latitude: null,
  longitude: null,
  speedMps: null,
  headingDeg: null,
};

function contextAt(receivedAt: number, speedUnit: SpeedUnit | undefined): DecodeContext {
  return {
    topic: [],
    headers: {},
    query: {},
    speedUnit,
    options: undefined,
    maxReadings: MAX_READINGS,
    receivedAt,
    mayBeOld: false,
  };
}

/** What tells the states of a device apart: when and where it was. */
function stateIn(decoded: readonly RawReading[] | Each | Problems): RowState {
  if ("problems" in decoded) return { kind: "unknown" };
  const items =
    "count" in decoded
      ? Array.from({ length: decoded.count }, (_, index) => decoded.decodeItem(index))
      : decoded;
  const readings = items.flat();
  const [first] = readings;
  if (first === undefined) return { kind: "nothing" };
  if (first.deviceId === null) return { kind: "unknown" };
  const placed = ({ latitude, longitude, noFix }: RawReading) => `${latitude} ${longitude} ${noFix === true}`;
  return {
    kind: "state",
    device: first.deviceId,
    time: readings.map(({ fixTime }) => String(fixTime)).join(" "),
    state: readings.map(placed).join(" "),
  };
}
