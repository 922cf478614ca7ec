/** Stores what ingest accepted: sorts a message's readings by scope, and writes each part into its scope's Redis. */

import { createHash } from "node:crypto";
import { type Store, type StoreEntry, StoreError, type StoreVerdict } from "../../ingest/store.ts";
import type { Reading, RejectionReason } from "../../reading.ts";
import type { Quarantine } from "../ledger/quarantine.ts";
import {
  type Args,
  createGroupCommit,
  type GroupCommit,
  type GroupCommitOptions,
  MAX_READINGS_PER_CALL,
  NO_REJECTIONS,
  type Write,
} from "./group-commit.ts";
import { createRefusals } from "./refusals.ts";
import { createRetryAfter } from "./retry-after.ts";
import type { Route, RoutedReading } from "./routes.ts";
import { goodTold, handshakeTold, ignoredTold, rejectionTold, type Told, toldText } from "./told.ts";

/** A message with more readings of one device than this could push its own first fixes out of the fingerprints. */
const READINGS_WORTH_A_BODY_PRINT = 16;
/** Of one message: devices whose home scope is told that readings of theirs were stored in another. */
const MAX_GOOD_ELSEWHERE = 100;

/** A removal reaches every process within seconds. */
const REMOVED_RETRY_AFTER_S = 5;

/** What storing needs to know of a source. */
export interface StoreSource {
  name: string;
  /** Key prefix of the scope of the source's own destination: message counters and quarantine live there. */
  home: string;
  maxImpliedMps: number | undefined;
  minIntervalMs: number | undefined;
  /** How many devices its tenant may have, and the tenant's sources; absent: no limit. */
  devices?: { most: number; of: readonly string[] } | undefined;
}

export interface StoreOptions extends Omit<GroupCommitOptions, "keyPrefix" | "retryAfter"> {
  sources: ReadonlyMap<string, StoreSource>;
  quarantine: Quarantine;
}

export interface DrainingStore extends Store {
  /** Resolves when nothing is waiting to be written any more. */
  drain(): Promise<void>;
  /** The last attempt to store failed. */
  isAway(): boolean;
}

export function createStore(options: StoreOptions): DrainingStore {
  const { sources, routes, quarantine } = options;
  const writers = new Map<string, GroupCommit>();
  const retryAfter = createRetryAfter();
  const refusals = createRefusals(async (name, counters, told) => {
    const source = sources.get(name);
    // Removed from the configuration meanwhile: nobody asks for its counters any more.
    if (source) await writer(source.home).add(countersOnly(name, Date.now(), counters, told));
  });

  function writer(keyPrefix: string) {
    let found = writers.get(keyPrefix);
    if (!found) {
      found = createGroupCommit({ ...options, keyPrefix, retryAfter });
      writers.set(keyPrefix, found);
    }
    return found;
  }

  async function add(entry: StoreEntry): Promise<StoreVerdict> {
    const source = sourceOf(entry.source);
    if (entry.kind === "malformed") return quarantineMessage(source, entry);
    const counters = messageCounters(entry);
    const told = toldOf(entry);
    if (entry.kind !== "decoded" || entry.readings.length === 0) {
      return writer(source.home).add(countersOnly(source.name, entry.receivedAt, counters, told));
    }
    const byScope = routes.group(source.name, entry.readings);
    const isTimeless = entry.timeless === true;
    const body = bodyPrint(entry.readings, entry.body, isTimeless);
    const verdicts: StoreVerdict[] = [];
    // The message itself is counted once, in its source's home scope; readings are counted where they are stored. Home
    // comes last: a message that does not fit elsewhere is sent again, and must not be counted before it is stored.
    const atHome = byScope.get(source.home) ?? [];
    byScope.delete(source.home);
    byScope.set(source.home, atHome);
    for (const [keyPrefix, routed] of byScope) {
      const isHome = keyPrefix === source.home;
      // One call per message, except for a giant one, for which Redis would be busy for a second. Each piece has a body
      // print and counts of its own, so a message interrupted by an outage is completed by its resend.
      const pieces = Math.max(1, Math.ceil(routed.length / MAX_READINGS_PER_CALL));
      for (let i = 0; i < pieces; i++) {
        const piece = routed.slice(i * MAX_READINGS_PER_CALL, (i + 1) * MAX_READINGS_PER_CALL);
        verdicts.push(
          await writer(keyPrefix).add({
            source: source.name,
            receivedAt: entry.receivedAt,
            bodyPrint: body && `${source.name}:${piecePrint(body, piece, isTimeless)}`,
            counters: isHome && i === pieces - 1 ? counters : "",
            told: isHome && i === pieces - 1 ? toldText(told) : "",
            readings: readingsArgs(source, piece),
            readingCount: piece.length,
            limit: limitText(source),
          }),
        );
      }
      if (!isHome && verdicts.some(({ stored }) => stored > 0)) told.push(...goodElsewhere(routed));
    }
    return merge(verdicts);
  }

  async function quarantineMessage(source: StoreSource, entry: StoreEntry & { kind: "malformed" }) {
    try {
      await quarantine.add(source.home, source.name, entry);
    } catch (error) {
      throw new StoreError("storage_unavailable", retryAfter.storageAway(), error);
    }
    return NOTHING;
  }

  function sourceOf(name: string): StoreSource {
    const source = sources.get(name);
    // It was while its message was on the way here: another process may know it, and a later message gets 404.
    if (!source) throw new StoreError("source_removed", REMOVED_RETRY_AFTER_S);
    return source;
  }

  async function drain(): Promise<void> {
    await refusals.write();
    await Promise.all([...writers.values()].map((each) => each.idle()));
  }

  return {
    add,
    refuse(name, reason, detail) {
      if (sources.has(name)) refusals.count(name, reason, detail);
    },
    drain,
    isAway: retryAfter.isStorageAway,
  };
}

const NOTHING: StoreVerdict = { stored: 0, duplicates: 0, rejections: NO_REJECTIONS };

function merge(verdicts: StoreVerdict[]): StoreVerdict {
  if (verdicts.length === 1 && verdicts[0]) return verdicts[0];
  const rejections = new Map<RejectionReason, number>();
  let stored = 0;
  let duplicates = 0;
  for (const verdict of verdicts) {
    stored += verdict.stored;
    duplicates += verdict.duplicates;
    for (const [reason, n] of verdict.rejections) rejections.set(reason, (rejections.get(reason) ?? 0) + n);
  }
  return { stored, duplicates, rejections };
}

function messageCounters(entry: Exclude<StoreEntry, { kind: "malformed" }>): string {
  if (entry.kind !== "decoded") return `messages,1,${entry.kind === "ignored" ? "ignored" : "handshakes"},1`;
  const rejected = entry.rawReadings - entry.readings.length;
  let counters = "messages,1,decoded,1";
  if (rejected > 0) counters += `,readings,${rejected},rejected,${rejected}`;
  for (const [reason, n] of entry.rejections) counters += `,rejected:${reason},${n}`;
  for (const [defect, n] of entry.defects) counters += `,defect:${defect},${n}`;
  return counters;
}

function toldOf(entry: Exclude<StoreEntry, { kind: "malformed" }>): Told[] {
  switch (entry.kind) {
    case "ignored":
      return [ignoredTold(entry.what ?? "")];
    case "handshake":
      return [handshakeTold()];
    case "decoded":
      return (entry.rejected ?? []).map(rejectionTold);
    default:
      return entry satisfies never;
  }
}

function goodElsewhere(routed: readonly RoutedReading[]): Told[] {
  const devices = new Set(routed.map(({ reading }) => reading.deviceId));
  return [...devices].slice(0, MAX_GOOD_ELSEWHERE).map(goodTold);
}

function countersOnly(source: string, receivedAt: number, counters: string, told: readonly Told[]): Write {
  return {
    source,
    receivedAt,
    bodyPrint: "",
    counters,
    readings: [],
    readingCount: 0,
    limit: "",
    told: toldText(told),
  };
}

function limitText({ devices }: StoreSource): string {
  return devices ? `!${devices.most};${devices.of.join()}` : "";
}

function readingsArgs(source: StoreSource, routed: readonly RoutedReading[]): Args {
  const args: Args = [];
  for (const { reading, routes } of routed) {
    args.push(reading.deviceId, placeHex(reading) + routesText(routes) + filterText(source, reading));
    for (const { backlog, record } of routes) args.push(backlog, record(reading));
  }
  return args;
}

function filterText({ maxImpliedMps, minIntervalMs }: StoreSource, { latitude, longitude }: Reading): string {
  if (maxImpliedMps === undefined && minIntervalMs === undefined) return "";
  return `;${maxImpliedMps ?? ""};${minIntervalMs ?? ""};${radians(latitude)};${radians(longitude)}`;
}

function routesText(routes: readonly Route[]): string {
  const unmapped = routes[0]?.unmapped ?? null;
  return unmapped === null ? String(routes.length) : `${routes.length}${unmapped === "hold" ? "h" : "f"}`;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** One byte of the place to 1e-7 degrees: separates a resent fix from a conflicting one 255 times in 256. */
function placeHex({ latitude, longitude }: Reading): string {
  const mixed =
    Math.imul(Math.round(latitude * 1e7), 0x9e3779b1) ^ Math.imul(Math.round(longitude * 1e7), 0x85ebca6b);
  return HEX[(mixed ^ (mixed >>> 8) ^ (mixed >>> 16) ^ (mixed >>> 24)) & 0xff] ?? "";
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}

function bodyPrint(readings: readonly Reading[], body: Uint8Array, isTimeless: boolean): string {
  // Readings dated by their receipt have another fingerprint each time.
  if (isTimeless) return createHash("sha256").update(body).digest("base64url");
  if (readings.length <= READINGS_WORTH_A_BODY_PRINT) return "";
  const perDevice = new Map<string, number>();
  for (const { deviceId } of readings) {
    const n = (perDevice.get(deviceId) ?? 0) + 1;
    if (n > READINGS_WORTH_A_BODY_PRINT) return createHash("sha256").update(body).digest("base64url");
    perDevice.set(deviceId, n);
  }
  return "";
}

/**
 * A print of what a piece holds, not of its number: when a message comes again, some of its readings may be too old by
 * now or lead elsewhere, and those after them are in other pieces than before. For a message without a time the readings
 * themselves are part of the print: some senders put all or some of them into the address, beside the body.
 */
function piecePrint(body: string, piece: readonly RoutedReading[], isTimeless: boolean): string {
  const hash = createHash("sha256").update(body);
  for (const { reading } of piece) {
    const { deviceId, fixTime, latitude, longitude, speedMps, headingDeg } = reading;
    hash.update(
      isTimeless
        ? `${deviceId}\0${latitude}\0${longitude}\0${speedMps}\0${headingDeg}\0`
        : `${deviceId}\0${fixTime}\0`,
    );
  }
  return hash.digest("base64url");
}
