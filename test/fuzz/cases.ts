/** One fuzz case: a mutated fixture goes through read, assemble and validate, and what comes out is held to physics. */

import { createRandom } from "../../sandbox/random.ts";
import { adapters } from "../../src/adapters/index.ts";
import { createAssembler } from "../../src/ingest/assembler.ts";
import { MAX_AHEAD_MS, type Reading, validate } from "../../src/reading.ts";
import { decode } from "../support/decode.ts";
import { fixturesOf } from "../support/fixtures.ts";
import { mutate } from "./mutate.ts";

/** More of the processor for a message of some kilobytes is a way to stop the gateway; a busy machine takes longer for less. */
const SLOW_MS = 250;

const subjects = adapters.flatMap((adapter) => fixturesOf(adapter).map((fixture) => ({ adapter, fixture })));

export interface CaseResult {
  vendor: string;
  /** The envelope was passed: the mutation reached what the adapter decodes. */
  decoded: boolean;
  readings: number;
  rejections: number;
  /** Null: as it should be. */
  failure: string | null;
}

/** The same for the same seed and number, so that a failure can be looked at again. */
export function runCase(seed: string, number: number): CaseResult {
  const subject = subjects[number % subjects.length];
  if (!subject) throw new Error("There are no fixtures.");
  const { adapter, fixture } = subject;
  const random = createRandom(`${seed}/${number}`);
  const message = mutate(fixture.message, random);
  const result: CaseResult = {
    vendor: adapter.vendor,
    decoded: false,
    readings: 0,
    rejections: 0,
    failure: null,
  };
  const atStart = process.cpuUsage();
  try {
    const decoded = decode(adapter, message, fixture.settings);
    if (decoded.kind !== "decoded") return result;
    result.decoded = true;
    const { receivedAt, retained } = message;
    const context = { receivedAt, retained, maxAgeMs: Infinity, maxAheadMs: MAX_AHEAD_MS };
    for (const rawReading of createAssembler().assemble(adapter.vendor, decoded.rawReadings, message)) {
      const verdict = validate(rawReading, context);
      if (verdict.kind === "rejected") result.rejections++;
      else {
        result.readings++;
        result.failure ??= impossible(verdict.reading);
      }
    }
  } catch (error) {
    result.failure = `threw ${error instanceof Error ? error.stack : String(error)}`;
  }
  const { user, system } = process.cpuUsage(atStart);
  const tookMs = (user + system) / 1000;
  if (tookMs > SLOW_MS) result.failure ??= `took ${Math.round(tookMs)} ms`;
  if (Object.hasOwn(Object.prototype, "polluted") || ({} as { latitude?: unknown }).latitude !== undefined) {
    result.failure ??= "changed Object.prototype";
  }
  if (result.failure !== null) {
    result.failure = `${fixture.name}, case ${number} of seed ${seed}: ${result.failure}\n${Buffer.from(message.body).toString().slice(0, 2000)}`;
  }
  return result;
}

/** What no reading may ever say, whoever sent what. */
function impossible({
  deviceId,
  fixTime,
  latitude,
  longitude,
  speedMps,
  headingDeg,
}: Reading): string | null {
  if (deviceId === "" || deviceId.length > 128) return `device id of ${deviceId.length} characters`;
  if (!(latitude >= -90 && latitude <= 90)) return `latitude ${latitude}`;
  if (!(longitude >= -180 && longitude <= 180)) return `longitude ${longitude}`;
  if (latitude === 0 && longitude === 0) return "a place at 0,0";
  if (!(fixTime >= Date.UTC(2000, 0, 1)) || !Number.isInteger(fixTime)) return `fix time ${fixTime}`;
  if (speedMps !== null && !(speedMps >= 0 && speedMps <= 100)) return `speed ${speedMps}`;
  if (headingDeg !== null && !(headingDeg >= 0 && headingDeg < 360)) return `heading ${headingDeg}`;
  return null;
}
