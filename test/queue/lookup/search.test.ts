/** Which device was meant: one that is exactly what was asked for, or the only one that fits. */

import { describe, expect, it } from "vitest";
import { type Candidate, searchDevices, theOneIn } from "../../../src/queue/lookup/search.ts";

function candidate(device: string, changes: Partial<Candidate> = {}): Candidate {
  const unit = changes.unit ?? device;
  return { source: "vans", device, unit, unitName: unit, technician: null, destination: "acme", ...changes };
}

const many = ["350", "3501", "3502", "13503"].map((device) => candidate(device));

describe("the one that was meant", () => {
  it.each([
    ["350", "its id"],
    [" 350 ", "its id with spaces around"],
    ["vans:350:1700000000000", "its externalId"],
  ])("is the exact one among many that fit in part: %s, %s", (text) => {
    expect(theOneIn(many, text)).toEqual(candidate("350"));
  });

  it("is found by its unit, name or technician, in any case", () => {
    const named = candidate("9", { unit: "V-1", unitName: "Van One", technician: "Ana" });
    const found = [candidate("8", { unit: "V-10", unitName: "Van One B", technician: "Anabel" }), named];
    for (const text of ["v-1", "VAN ONE", "ana"]) expect(theOneIn(found, text), text).toBe(named);
  });

  it("is the only one that fits, though only in part", () => {
    expect(theOneIn([candidate("13503")], "350")).toEqual(candidate("13503"));
  });

  it("is nobody where several fit alike, or none does", () => {
    expect(theOneIn(many, "35")).toBeNull();
    expect(theOneIn([], "350")).toBeNull();
    // One id at two sources is two devices.
    expect(theOneIn([candidate("350"), candidate("350", { source: "cars" })], "350")).toBeNull();
  });

  it("is one device that leads to two destinations", () => {
    const both = [candidate("350"), candidate("350", { destination: "blue", unit: "B-1" })];
    expect(theOneIn(both, "350")).toBe(both[0]);
    expect(theOneIn(both, "35")).toBe(both[0]);
  });
});

it("the exact one comes first however many fit in part", async () => {
  const devices = [...Array.from({ length: 500 }, (_, i) => `x7-${i}`), "7"];
  const found = await searchDevices(
    {
      sources: [{ name: "vans", home: "h", destination: "acme" }],
      names: async () => new Map([["vans", devices]]),
      rowsOf: null,
      mappedDevices: () => [],
    },
    "7",
  );
  expect(found).toHaveLength(50);
  expect(found[0]?.device).toBe("7");
  expect(theOneIn(found, "7")?.device).toBe("7");
});
