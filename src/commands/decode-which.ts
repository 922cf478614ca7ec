/** Finds the adapters that read a message, best first, for a `decode` without a vendor or with one that does not read it. */

import { adapters } from "../adapters/index.ts";
import { type Adapter, asAuthenticated, type Message } from "../adapters/kit/adapter.ts";
import { topicMatcher } from "../adapters/kit/topic.ts";
import { createAssembler } from "../ingest/assembler.ts";
import { type Examined, examine } from "../ingest/examine.ts";
import { type RejectionReason, SPEED_UNITS, type SpeedUnit } from "../reading.ts";

/** What one adapter makes of the messages. */
export interface Candidate {
  vendor: string;
  readings: number;
  rejections: number;
  defects: number;
  /** The vendor sends its speeds in a unit that the source has to state. */
  needsSpeedUnit: boolean;
  /** It knows one vendor's format; a configurable adapter tries many names. */
  isOwn: boolean;
}

/** How the messages were given, in texts as typed: what the next command needs again. */
export interface Given {
  topic?: string | undefined;
  /** A JSON file of header names and values. */
  headersFile?: string | undefined;
  query?: string | undefined;
  contentType?: string | undefined;
  speedUnit?: string | undefined;
  receivedAt?: string | undefined;
  retained?: boolean | undefined;
  /** Standard input is a whole message of the quarantine, as the ops endpoint returns it. */
  quarantined?: boolean | undefined;
  /** A JSON file of messages in order; then there is no body. */
  sequenceFile?: string | undefined;
  /** The source's `options`, as in the configuration. */
  options?: unknown;
}

/** More than these are no help. */
const MOST_NAMED = 5;

/** What was given beside the messages. */
export interface GivenSettings {
  speedUnit?: SpeedUnit | undefined;
  options?: unknown;
}

/** Rejected for what the message says, not because the adapter found nothing where it looked. */
const SAYS_SOMETHING: ReadonlySet<RejectionReason> = new Set([
  "no_fix",
  "null_island",
  "before_2000",
  "latitude_out_of_range",
  "longitude_out_of_range",
  "retained_without_time",
  "resent_without_time",
]);

const EVIDENCE: readonly Adapter["evidence"][] = ["documented", "source code", "seen in code"];

/** The order: the first difference counts, and the higher number is the better one. */
function worthOf(adapter: Adapter, examined: readonly Examined[], messages: readonly Message[]): number[] {
  const readings = examined.flatMap((one) => one.readings);
  const said = readings.reduce(
    (sum, { speedMps, headingDeg }) => sum + (speedMps === null ? 0 : 1) + (headingDeg === null ? 0 : 1),
    0,
  );
  return [
    readings.length,
    -troubleOf(examined),
    messages.filter((message) => fits(adapter, message)).length,
    // Who understands more of a message is nearer to it: speed and heading, then what stands beside the position.
    said,
    readings.filter(({ details }) => details !== undefined).length,
    // A configurable adapter tries many names, and so reads what a vendor of its own reads too.
    adapter.options === undefined ? 1 : 0,
    -EVIDENCE.indexOf(adapter.evidence),
  ];
}

function troubleOf(examined: readonly Examined[]): number {
  return examined.reduce((sum, { rejections, defects }) => sum + rejections.length + defects.length, 0);
}

/** A topic of the vendor's own, or its way in where there is none. */
function fits({ topics, transports, methods = ["POST"] }: Adapter, { topic, method }: Message): boolean {
  if (topic === undefined) {
    return transports.includes("webhook") && methods.some((one) => one === method);
  }
  return (topics ?? []).some((filter) => filter !== "#" && topicMatcher(filter)(topic));
}

export function whichRead(messages: readonly Message[], given: GivenSettings): Candidate[] {
  return adapters
    .flatMap((adapter) => {
      const examined = examineAll(adapter, messages, given);
      if (!examined.some(isRead)) return [];
      return [{ adapter, examined, worth: worthOf(adapter, examined, messages) }];
    })
    .sort(
      (a, b) =>
        b.worth.map((worth, i) => worth - (a.worth[i] ?? 0)).find((difference) => difference !== 0) ?? 0,
    )
    .map(({ adapter, examined }) => ({
      vendor: adapter.vendor,
      readings: examined.reduce((sum, { readings }) => sum + readings.length, 0),
      rejections: examined.reduce((sum, { rejections }) => sum + rejections.length, 0),
      defects: examined.reduce((sum, { defects }) => sum + defects.length, 0),
      needsSpeedUnit: adapter.speedUnit === "required" && given.speedUnit === undefined,
      isOwn: adapter.options === undefined,
    }));
}

/** Settings that a vendor requires and nobody gave do not end the search: its positions are found without them. */
function examineAll(adapter: Adapter, messages: readonly Message[], given: GivenSettings): Examined[] {
  const parsed = adapter.options?.safeParse(given.options) ?? { success: true, data: undefined };
  const settings = { speedUnit: given.speedUnit, options: parsed.success ? parsed.data : undefined };
  const assembler = createAssembler();
  try {
    return messages.map((message) => examine(adapter, asAuthenticated(message), settings, assembler));
  } catch {
    // Options that this adapter cannot do without.
    return [];
  }
}

export function isRead({ readings, rejections }: Examined): boolean {
  return readings.length > 0 || rejections.some(({ reason }) => SAYS_SOMETHING.has(reason));
}

/** Lines for standard error: who reads the messages, and the command to run next. */
export function suggestion(candidates: readonly Candidate[], given: Given): string[] {
  const [best] = candidates;
  if (!best) {
    return [
      "No adapter reads a position out of it. Any other JSON is read with options: see src/adapters/README.md, Any other JSON.",
    ];
  }
  const named = candidates
    .slice(0, MOST_NAMED)
    .map((candidate) => `  ${candidate.vendor}: ${whatItReads(candidate)}`);
  const more = candidates.length > MOST_NAMED ? [`  and ${candidates.length - MOST_NAMED} more`] : [];
  return ["These adapters read it, best first:", ...named, ...more, `Next: ${commandFor(best, given)}`];
}

function whatItReads({ readings, rejections, defects, needsSpeedUnit }: Candidate): string {
  const counts = [
    counted(readings, "reading"),
    ...(rejections > 0 ? [`${rejections} rejected`] : []),
    ...(defects > 0 ? [counted(defects, "field defect")] : []),
  ];
  return `${counts.join(", ")}${needsSpeedUnit ? `; state its UNIT of speed (${SPEED_UNITS.join(", ")})` : ""}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function commandFor({ vendor, needsSpeedUnit }: Candidate, given: Given): string {
  const flags: [flag: string, value: string | undefined][] = [
    ["--topic", given.topic],
    ["--headers", given.headersFile],
    ["--query", given.query],
    ["--content-type", given.contentType],
    ["--speed-unit", given.speedUnit ?? (needsSpeedUnit ? "UNIT" : undefined)],
    ["--received-at", given.receivedAt],
    ["--sequence", given.sequenceFile],
    ["--options", given.options === undefined ? undefined : JSON.stringify(given.options)],
  ];
  const words = [
    ...flags.flatMap(([flag, value]) => (value === undefined ? [] : [flag, quoted(value)])),
    ...(given.retained ? ["--retained"] : []),
    ...(given.quarantined ? ["--quarantined"] : []),
  ];
  const hasBody = given.sequenceFile === undefined && given.query === undefined;
  return ["waypost", "decode", vendor, ...words, ...(hasBody ? ["< message"] : [])].join(" ");
}

/** For a shell. */
function quoted(value: string): string {
  return /^[\w./:@%+=,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
