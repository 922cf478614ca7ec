/** A mapping file that cannot be used and devices without a row are problems, with the line and with the row to paste. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadMapping } from "../../../src/mapping/mapping.ts";
import { diagnoseMapping, rowFor } from "../../../src/ops/diagnose/mapping.ts";
import type { QueueStatus } from "../../../src/status/queue.ts";

const NOW = Date.parse("2026-11-29T12:04:00Z");
const KNOWN = {
  destinations: { main: { tenant: "1" } },
  sources: { vans: { destination: "main" } },
};

type Unmapped = QueueStatus["unmapped"][number];
const device = (name: string, policy: Unmapped["policy"], ageMs = 1000): Unmapped => ({
  ...{ source: "vans", device: name, policy },
  lastFixAt: new Date(NOW - ageMs).toISOString(),
});
const CSV = { format: "csv", columns: ["device", "unit", "name", "source"], delimiter: "," } as const;
const found = (changes: Partial<Parameters<typeof diagnoseMapping>[0]>) =>
  diagnoseMapping({ problem: null, unmapped: [], form: CSV, nowMs: NOW, ...changes });

test("nothing is wrong with a file that is used and names every device", () => {
  expect(found({})).toEqual([]);
});

test("a file that cannot be used: since when, which line, and which rows stay in use", () => {
  const problems = ["line 7: device is missing", ...Array.from({ length: 9 }, (_, i) => `line ${i}: x`)];
  const problem = {
    file: "fleet.csv",
    sinceMs: NOW - 30_000,
    problems,
    rowsReadAtMs: Date.parse("2026-11-29T12:03:00Z"),
  };
  const [finding, ...more] = found({ problem });
  expect(more).toEqual([]);
  expect(finding).toMatchObject({
    ...{ kind: "mapping_unusable", severity: "error", whose: "configuration", sinceMs: NOW - 30_000 },
    subjects: ["fleet.csv"],
  });
  expect(finding?.what).toContain("rows of 12:03 UTC stay in use: line 7: device is missing");
  expect(finding?.what).toContain("and 6 more");
});

describe("devices without a row", () => {
  test("that are sent under their own id, or held: how many, which, and the row to paste", () => {
    const unmapped = [device("van-1", "forward"), device("van-2", "forward"), device("van-3", "hold")];
    const [sent, held, ...more] = found({ unmapped });
    expect(more).toEqual([]);
    expect(sent).toMatchObject({
      kind: "device_unmapped",
      severity: "warning",
      subjects: ["van-1", "van-2"],
    });
    expect(sent?.what).toMatch(/^2 devices are sent under their own id .*: van-1 of vans, van-2 of vans\.$/);
    expect(sent?.doNext).toContain("a row like this for each to the mapping file: van-1,UNIT,,vans (");
    expect(held).toMatchObject({ kind: "device_held", severity: "warning", subjects: ["van-3"] });
    expect(held?.what).toMatch(/^Positions of a device are held .* names it: van-3 of vans\.$/);
    expect(held?.doNext).toContain("Add this row to the mapping file: van-3,UNIT,,vans (");
  });

  test("count for a day after their last fix", () => {
    const day = 86_400_000;
    expect(found({ unmapped: [device("van-1", "forward", day), device("van-2", "hold", day)] })).toEqual([]);
    expect(found({ unmapped: [device("van-1", "forward", day - 1)] })).toHaveLength(1);
    expect(found({ unmapped: [{ ...device("van-2", "hold"), lastFixAt: null }] })).toHaveLength(1);
  });
});

describe("the row to paste", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "waypost-mapping-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const DEVICES = ["van-41/phone", 'Van "1", blue', "a;b", "00123", "true", "# 7", "it's: {x}"];

  test.each([
    [
      "fleet.csv",
      (rows: string[]) => `device,name,unit,source\n${rows.join("\n")}\n`,
      "device,name,unit,source\n1,,a,\n",
    ],
    ["fleet.csv", (rows: string[]) => `unit;device\n${rows.join("\n")}\n`, "unit;device\na;1\n"],
    ["fleet.json", (rows: string[]) => `[${rows.join(",\n")}]`, '[{ "device": "1", "source": "vans" }]'],
    ["fleet.yaml", (rows: string[]) => rows.join("\n"), "- device: 1\n"],
    ["fleet.yml", (rows: string[]) => rows.join("\n"), "- { device: 1, source: vans }\n"],
  ])("is one that %s takes: %#", async (name, whole, text) => {
    const file = join(dir, name);
    const load = async () => {
      const loaded = await loadMapping(file, KNOWN);
      if (loaded.kind === "broken") throw new Error(loaded.problems.join("\n"));
      return loaded.mapping;
    };
    writeFileSync(file, text);
    const { form } = await load();
    writeFileSync(file, whole(DEVICES.map((each) => rowFor({ device: each, source: "vans" }, form))));
    const mapping = await load();
    expect(mapping.rows).toBe(DEVICES.length);
    for (const each of DEVICES) expect(mapping.routes("vans", each)[0]?.unit.unitId).toBe("UNIT");
  });

  test("has no unit where the file has no such column", () => {
    const form = { ...CSV, columns: ["device", "technician"] };
    expect(rowFor({ device: "van-1", source: "vans" }, form)).toBe("van-1,");
    expect(found({ form, unmapped: [device("van-1", "hold")] })[0]?.doNext).not.toContain("UNIT");
  });
});
