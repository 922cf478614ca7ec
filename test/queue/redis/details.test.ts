/** Details of pings in the ledger: those that were said, and no bytes for those that were not. */

import { describe, expect, it } from "vitest";
import { decodeEntry, encodeEntry, type LedgerBatch } from "../../../src/queue/ledger/entry.ts";
import type { BufferRecord } from "../../../src/queue/redis/record.ts";
import type { Details } from "../../../src/reading.ts";

const AT = Date.UTC(2026, 10, 20, 18, 30);
const batch: LedgerBatch = {
  batchId: "0b6f9c1e-6f0e-4f0e-9d3c-5d1c2b7a9e10",
  destination: "acme",
  outcome: "delivered",
  status: 200,
  tookMs: 118,
  traceId: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
};

/** A hundred vans, as they arrive within one second. */
function records(detailsOf: (i: number) => Details | undefined): BufferRecord[] {
  return Array.from({ length: 100 }, (_, i) => {
    const device = `35823905${String((i * 7_919_333) % 10_000_000).padStart(7, "0")}`;
    const details = detailsOf(i);
    return {
      unit: { unitId: device, unitName: device, technician: null },
      source: "acme-vans",
      reading: {
        deviceId: device,
        fixTime: AT - 1000 - ((i * 137) % 900),
        receivedAt: AT - ((i * 37) % 500),
        latitude: 30.2 + Math.sin(i * 12.9898) / 10,
        longitude: -97.7 + Math.cos(i * 78.233) / 10,
        speedMps: (i * 13.37) % 35,
        headingDeg: (i * 47.3) % 360,
        ...(details && { details }),
      },
    };
  });
}

const delivered = Array<"d">(100).fill("d");

function packed(given: readonly BufferRecord[]): Buffer {
  const entry = encodeEntry(batch, given, delivered);
  if (!entry) throw new Error("nothing was encoded");
  return entry;
}

describe("a ledger entry", () => {
  it("gives the details of those pings back that have some", () => {
    const details = {
      street: "12 Elm St",
      city: "Waco",
      ignition: true,
      odometerM: 120_400.5,
      driver: "Ana",
    };
    const given = records((i) =>
      i % 3 === 1 ? { ...details, odometerM: details.odometerM + i } : undefined,
    );
    const { pings } = decodeEntry(AT, packed(given));
    expect(pings.map((ping) => ping.details)).toEqual(given.map(({ reading }) => reading.details));
    expect(pings[0]).not.toHaveProperty("details");
  });

  it("keeps details in step with pings that have not come to an end and are left out", () => {
    const given = records((i) => (i < 5 ? { driver: `driver ${i}` } : undefined));
    const fates = given.map((_, i) => (i % 2 === 0 ? ("b" as const) : ("d" as const)));
    const entry = encodeEntry(batch, given, fates) ?? Buffer.alloc(0);
    const { pings } = decodeEntry(AT, entry);
    expect(pings).toHaveLength(50);
    expect(pings.slice(0, 3).map(({ details }) => details?.driver)).toEqual([
      "driver 1",
      "driver 3",
      undefined,
    ]);
  });
});
