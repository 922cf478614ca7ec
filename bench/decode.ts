/** How fast each vendor's messages are decoded and validated on one processor: no network, no Redis, only decode and validate. */

import { adapters } from "../src/adapters/index.ts";
import { asAuthenticated } from "../src/adapters/kit/adapter.ts";
import { decode } from "../src/adapters/kit/decode.ts";
import { createAssembler } from "../src/ingest/assembler.ts";
import { validate } from "../src/reading.ts";
import { type Fixture, fixturesOf } from "../test/support/fixtures.ts";

export interface DecodeResult {
  scenario: "decode";
  vendor: string;
  /** The fixture that was decoded again and again: the vendor's one with the most raw readings. */
  fixture: string;
  /** Raw readings validated per second of processor time; messages where a position comes in several. */
  readingsPerSecond: number;
  /** Processor time for a message, microseconds: the mean over all fixtures of the vendor, each as often as the others. */
  usPerMessage: number;
  /** The same for each raw reading that came out of them. */
  usPerReading: number;
  /** Processor time for a thousand bytes of body, microseconds. */
  usPerKilobyte: number;
}

/** Long enough that the compiler has done its work before the clock starts. */
const WARM_UP_MS = 300;

/** One result per vendor, slowest first. */
export function decodeRates(measureMs: number): DecodeResult[] {
  const results = adapters.flatMap((adapter): DecodeResult[] => {
    const fixtures = fixturesOf(adapter);
    const best = fixtures
      .map((fixture) => ({ fixture, rawReadings: once(adapter, fixture) }))
      .sort((a, b) => b.rawReadings - a.rawReadings)[0];
    if (!best) return [];
    const { fixture, rawReadings } = best;
    repeat(adapter, [fixture], WARM_UP_MS);
    const { messages, cpuUs } = repeat(adapter, [fixture], measureMs);
    repeat(adapter, fixtures, WARM_UP_MS);
    const all = repeat(adapter, fixtures, measureMs);
    return [
      {
        scenario: "decode",
        vendor: adapter.vendor,
        fixture: fixture.name,
        readingsPerSecond: Math.round((messages * Math.max(1, rawReadings) * 1e6) / cpuUs),
        usPerMessage: Number((all.cpuUs / all.messages).toFixed(1)),
        usPerReading: Number((all.cpuUs / Math.max(1, all.rawReadings)).toFixed(1)),
        usPerKilobyte: Number(
          ((cpuUs * 1000) / (messages * Math.max(1, fixture.message.body.length))).toFixed(1),
        ),
      },
    ];
  });
  return results.sort((a, b) => a.readingsPerSecond - b.readingsPerSecond);
}

export function decodeTable(results: readonly DecodeResult[]): string {
  const width = Math.max(...results.map(({ vendor }) => vendor.length));
  const rows = results.map(({ vendor, readingsPerSecond, usPerMessage, usPerReading, usPerKilobyte }) =>
    [
      vendor.padEnd(width),
      readingsPerSecond.toLocaleString("en").padStart(12),
      String(usPerMessage).padStart(10),
      String(usPerReading).padStart(10),
      String(usPerKilobyte).padStart(8),
    ].join("  "),
  );
  return [`${"vendor".padEnd(width)}  readings/s  µs/message  µs/reading     µs/kB`, ...rows].join("\n");
}

type Adapter = (typeof adapters)[number];

/** Processor time, not wall-clock time, so that other work on the machine does not count. */
function repeat(adapter: Adapter, fixtures: readonly Fixture[], ms: number) {
  const until = performance.now() + ms;
  const before = process.cpuUsage();
  let messages = 0;
  let rawReadings = 0;
  while (performance.now() < until) {
    for (let i = 0; i < 200; i++) {
      const fixture = fixtures[messages % fixtures.length];
      if (fixture) rawReadings += once(adapter, fixture);
      messages += 1;
    }
  }
  const { user, system } = process.cpuUsage(before);
  return { messages, rawReadings, cpuUs: user + system };
}

const assembler = createAssembler();

function once(adapter: Adapter, { message, settings }: Fixture): number {
  const result = decode(adapter, asAuthenticated(message), settings);
  if (result.kind !== "decoded") return 0;
  const { receivedAt, retained } = message;
  const context = { receivedAt, retained, maxAgeMs: Infinity, maxAheadMs: Infinity };
  // A new object each time: the assembler recognises a message that comes again.
  for (const rawReading of assembler.assemble(adapter.vendor, result.rawReadings, { ...message })) {
    validate(rawReading, context);
  }
  return result.rawReadings.length;
}
