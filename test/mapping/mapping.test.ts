import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadMapping, type Mapping, watchMapping } from "../../src/mapping/mapping.ts";
import type { Known } from "../../src/mapping/scope.ts";
import { scaled } from "../support/speed.ts";

/** Two destinations of one tenant. */
const KNOWN = {
  destinations: { main: { tenant: "1" }, branch: { tenant: "1" } },
  sources: { vans: { destination: "main" }, trucks: { destination: "branch" } },
};

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "waypost-mapping-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

function write(name: string, text: string | Uint8Array): string {
  const file = join(dir, name);
  writeFileSync(file, text);
  return file;
}
async function load(name: string, text: string | Uint8Array, known: Known = KNOWN): Promise<Mapping> {
  const loaded = await loadMapping(write(name, text), known);
  if (loaded.kind === "broken") throw new Error(loaded.problems.join("\n"));
  return loaded.mapping;
}
async function problems(name: string, text: string | Uint8Array, known: Known = KNOWN): Promise<string[]> {
  const loaded = await loadMapping(write(name, text), known);
  return loaded.kind === "broken" ? loaded.problems : [];
}

const CSV = `device,unit,name,technician,destination,source
00123,truck-17,Truck 17,Ana,,
356938035643809,van-1,"Van 1, ""Blue""",,branch,vans
356938035643809,van-1,Van 1,,main,vans
867,,,,,
`;
const JSON_TEXT = `[
  { "device": "00123", "unit": "truck-17", "name": "Truck 17", "technician": "Ana" },
  { "device": 356938035643809, "unit": "van-1", "name": "Van 1, \\"Blue\\"", "destination": "branch", "source": "vans" },
  { "device": 356938035643809, "unit": "van-1", "name": "Van 1", "destination": "main", "source": "vans",
    "technician": null },
  { "device": "867" }
]`;
const YAML = `# our fleet
- device: 00123
  unit: truck-17
  name: Truck 17
  technician: Ana
- { device: 356938035643809, unit: van-1, name: 'Van 1, "Blue"', destination: branch, source: vans }
- { device: 356938035643809, unit: van-1, name: Van 1, destination: main, source: vans, technician: ~ }
- device: 867
`;

describe("a mapping file", () => {
  test.each([
    ["fleet.csv", CSV],
    ["fleet.json", JSON_TEXT],
    ["fleet.yaml", YAML],
    ["FLEET.YML", YAML],
    ["from-excel.csv", `\uFEFF${CSV.replaceAll("\n", "\r\n")}`],
    [
      "semicolons.csv",
      CSV.replace("Van 1, ", "Van 1; ")
        .replaceAll(/,(?=\S|$)/gm, ";")
        .replace("Van 1; ", "Van 1, "),
    ],
  ])("%s", async (name, text) => {
    const mapping = await load(name, text);
    expect(mapping.rows).toBe(4);
    expect(mapping.routes("trucks", "00123")).toEqual([
      { destination: null, unit: { unitId: "truck-17", unitName: "Truck 17", technician: "Ana" } },
    ]);
    expect(mapping.routes("vans", "356938035643809")).toEqual([
      { destination: "branch", unit: { unitId: "van-1", unitName: 'Van 1, "Blue"', technician: null } },
      { destination: "main", unit: { unitId: "van-1", unitName: "Van 1", technician: null } },
    ]);
    expect(mapping.routes("vans", "867")).toEqual([
      { destination: null, unit: { unitId: "867", unitName: "867", technician: null } },
    ]);
    expect(mapping.routes("trucks", "356938035643809")).toEqual([]);
    expect(mapping.routes("vans", "123")).toEqual([]);
    expect(mapping.routes("vans", "constructor")).toEqual([]);
  });

  test("a row that names the source goes before one that does not", async () => {
    const mapping = await load("a.csv", "device,unit,source\n1,anywhere,\n1,in-vans,vans\n");
    expect(mapping.routes("vans", "1").map(({ unit }) => unit.unitId)).toEqual(["in-vans"]);
    expect(mapping.routes("trucks", "1").map(({ unit }) => unit.unitId)).toEqual(["anywhere"]);
  });

  test("columns may stand in any order and be left out; white space and empty lines have no meaning", async () => {
    const mapping = await load("a.csv", "Unit , DEVICE,\n\n van 9 , 9 ,\n , ,\n");
    expect(mapping.rows).toBe(1);
    expect(mapping.routes("vans", "9")[0]?.unit).toEqual({
      unitId: "van 9",
      unitName: "van 9",
      technician: null,
    });
  });

  test("knows which units a technician drives", async () => {
    const mapping = await load(
      "a.csv",
      "device,unit,technician\n1,van,Ana\n2,truck,Ana\n3,van,Ana\n4,car,Ben\n",
    );
    expect(mapping.unitsOf("main", "Ana")).toEqual(["van", "truck"]);
    expect(mapping.unitsOf("branch", "Ana")).toEqual(["van", "truck"]);
    expect(mapping.unitsOf("main", "Eve")).toEqual([]);
    expect(mapping.unitsOf("nowhere", "Ana")).toEqual([]);
  });

  test.each([
    [
      "a.csv",
      "Unit;DEVICE;source\nx;1;vans\n",
      { format: "csv", columns: ["unit", "device", "source"], delimiter: ";" },
    ],
    ["a.csv", "device,unit\n", { format: "csv", columns: ["device", "unit"], delimiter: "," }],
    [
      "a.json",
      '[{ "device": "1" }, { "device": "2", "unit": "x" }]',
      { format: "json", columns: ["device", "unit"] },
    ],
    [
      "a.yaml",
      "- device: 1\n- { device: 2, source: vans }\n",
      { format: "yaml", columns: ["device", "source"] },
    ],
  ])("knows how it is written: %s %#", async (name, text, form) => {
    expect((await load(name, text)).form).toMatchObject(form);
  });

  test("an empty list maps nothing", async () => {
    expect((await load("a.json", "[]")).rows).toBe(0);
    expect((await load("a.csv", "device\n")).rows).toBe(0);
  });

  test("whatever the ids are, each device finds its own unit", async () => {
    const id = fc.string({ minLength: 1, maxLength: 12, unit: "grapheme" }).map((text) => text.trim());
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(id.filter((text) => text !== "" && !/[\r\n]/.test(text))),
        async (devices) => {
          const rows = devices.map((device, i) => ({ device, unit: `u${i}` }));
          const csv = rows.map(({ device, unit }) => `"${device.replaceAll('"', '""')}",${unit}`).join("\n");
          for (const mapping of [
            await load("a.json", JSON.stringify(rows)),
            await load("a.csv", `device,unit\n${csv}`),
          ]) {
            for (const { device, unit } of rows)
              expect(mapping.routes("vans", device)[0]?.unit.unitId).toBe(unit);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  test("a hundred thousand rows do not hold up the others", async () => {
    const rows = Array.from({ length: 100_000 }, (_, i) => `${i},unit ${i}`).join("\n");
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const mapping = await load("a.csv", `device,unit\n${rows}`);
    clearInterval(timer);
    expect(mapping.rows).toBe(100_000);
    expect(turns).toBeGreaterThan(10);
  });
});

describe("a row does not reach another tenant's device", () => {
  /** Two customers, one of them with two destinations; `guest` is a customer whom no source sends to by itself. */
  const TENANTS: Known = {
    destinations: {
      acme: { tenant: "1" },
      "acme-south": { tenant: "1" },
      beta: { tenant: "2" },
      guest: { tenant: "3" },
    },
    sources: {
      vans: { destination: "acme" },
      vans2: { destination: "acme-south" },
      trucks: { destination: "beta" },
    },
  };
  const unitsOf = (mapping: Mapping, source: string, device: string) =>
    mapping.routes(source, device).map(({ destination, unit }) => `${unit.unitId} to ${destination}`);

  test("one that names a destination alone is for the sources of that tenant", async () => {
    const mapping = await load(
      "a.csv",
      "device,unit,technician,destination\n42,ours,7,acme\n42,theirs,7,beta\n43,south,7,acme-south\n",
      TENANTS,
    );
    expect(unitsOf(mapping, "vans", "42")).toEqual(["ours to acme"]);
    expect(unitsOf(mapping, "vans2", "42")).toEqual(["ours to acme"]);
    expect(unitsOf(mapping, "trucks", "42")).toEqual(["theirs to beta"]);
    expect(unitsOf(mapping, "vans", "43")).toEqual(["south to acme-south"]);
    expect(unitsOf(mapping, "trucks", "43")).toEqual([]);
    expect(unitsOf(mapping, "unheard-of", "42")).toEqual([]);
    // The same technician's number is another person at another customer's.
    expect(mapping.unitsOf("acme", "7")).toEqual(["ours"]);
    expect(mapping.unitsOf("acme-south", "7")).toEqual(["south"]);
    expect(mapping.unitsOf("beta", "7")).toEqual(["theirs"]);
    expect(mapping.unitsOf("guest", "7")).toEqual([]);
  });

  test("one that names its source goes to any destination", async () => {
    const mapping = await load(
      "a.csv",
      "source,device,unit,technician,destination\nvans,42,lent,7,guest\nvans,42,ours,7,\ntrucks,1,t,7,\n",
      TENANTS,
    );
    expect(unitsOf(mapping, "vans", "42")).toEqual(["lent to guest", "ours to null"]);
    expect(unitsOf(mapping, "vans2", "42")).toEqual([]);
    expect(unitsOf(mapping, "trucks", "42")).toEqual([]);
    expect(mapping.unitsOf("guest", "7")).toEqual(["lent"]);
    expect(mapping.unitsOf("acme", "7")).toEqual(["ours"]);
    expect(mapping.unitsOf("beta", "7")).toEqual(["t"]);
  });

  test.each([
    ["a.csv", "device,unit\n42,a\n", "line 2: names no source and no destination; with 3 tenants"],
    ["a.csv", "device,destination,source\n1,beta,\n2,,\n", "line 3: names no source and no destination"],
    ["a.json", '[\n{ "device": "42" }]', "line 2: names no source and no destination"],
    ["a.yaml", "- { device: 1, source: vans }\n- device: 42\n", "line 2: names no source and no destination"],
    [
      "a.csv",
      "device,destination\n42,guest\n",
      'line 2: destination "guest" is of a tenant that no source sends to by itself',
    ],
  ])("one of which that cannot be told is a mistake: %s %#", async (name, text, problem) => {
    const found = await problems(name, text, TENANTS);
    expect(found).toEqual([expect.stringContaining(problem)]);
  });

  test("the same number in another environment is another tenant", async () => {
    const known = {
      destinations: { live: { tenant: "1" }, trial: { tenant: "1", environment: "integration" } },
      sources: { vans: { destination: "live" }, trucks: { destination: "trial" } },
    };
    expect(await problems("a.csv", "device\n42\n", known)).toHaveLength(1);
    const mapping = await load("a.csv", "device,destination\n42,trial\n", known);
    expect(unitsOf(mapping, "vans", "42")).toEqual([]);
  });

  test("two rows of different tenants may have one device, two of one tenant may not lead to one place", async () => {
    const text = "device,destination\n42,acme\n42,beta\n42,acme-south\n42,acme\n";
    expect(await problems("a.csv", text, TENANTS)).toEqual([
      'line 5: device "42" goes there already by line 2',
    ]);
  });
});

describe("a number that a spreadsheet has rounded", () => {
  const ROUNDED = [
    "3.52094E+14",
    "3,52094E+14",
    "3.52094e14",
    "3E+14",
    "352094000000000.0",
    "352094,0",
    "+3.5E+14",
  ];

  test.each(ROUNDED)("is no id: %s", async (cell) => {
    for (const column of ["device", "unit", "technician"]) {
      const cells = { device: "1", unit: "2", technician: "3", [column]: cell };
      const expected = [
        expect.stringMatching(new RegExp(`^line [23]: ${column} is a rounded number: its digits`)),
      ];
      const { device, unit, technician } = cells;
      expect(await problems("a.csv", `device;unit;technician\n${device};"${unit}";${technician}\n`)).toEqual(
        expected,
      );
      expect(await problems("a.json", `[\n${JSON.stringify(cells)}]`)).toEqual(expected);
      expect(await problems("a.yaml", `# ids\n- ${JSON.stringify(cells)}\n`)).toEqual(expected);
    }
  });

  test.each(["3.52094E+14", "3.52094e14", "352094000000000.0", "352094E+9"])(
    "is none either where no quotes show it: %s",
    async (number) => {
      const expected = [expect.stringMatching(/^line 2: device is a rounded number/)];
      expect(await problems("a.json", `[\n{"device": ${number}, "name": "1.5 \\" 2e5"}]`)).toEqual(expected);
      expect(await problems("a.yaml", `# ids\n- device: ${number}\n`)).toEqual(expected);
    },
  );

  test.each(["12E4", "352094E12", "1E-5", "E5", "1.5", "10.20.30.40", "7.8E9a", "00123", "1.2.0"])(
    "an id that only looks like one is an id: %s",
    async (cell) => {
      const mapping = await load("a.csv", `device\n${cell}\n`);
      expect(mapping.routes("vans", cell)).toHaveLength(1);
      expect((await load("a.json", JSON.stringify([{ device: cell }]))).routes("vans", cell)).toHaveLength(1);
    },
  );

  test("may be a name", async () => {
    expect((await load("a.csv", "device,name\n1,1.0\n")).rows).toBe(1);
  });
});

describe("a mapping file with mistakes is not used, and all of them are named with their lines", () => {
  test("CSV", async () => {
    const text = `device,unit,destination,source,colour
1,a,,,
,b,,,
2,c,mian,,
3,d,,lorries,
1,e,,,
4,f,,,,,extra
5,g,,vans,red
5,h,main,vans,
`;
    expect(await problems("a.csv", text)).toEqual(
      expect.arrayContaining([
        expect.stringContaining('line 2: unknown column "colour"'),
        expect.stringContaining("line 3: device is missing"),
        expect.stringContaining('line 7: "extra" stands under no column'),
      ]),
    );
    expect(await problems("a.csv", text.replaceAll(/(,[^,\n]*)$/gm, "").replace(",,,extra", ""))).toEqual([
      "line 3: device is missing",
      'line 4: destination "mian" is not configured',
      'line 5: source "lorries" is not configured',
      'line 6: device "1" goes there already by line 2',
      'line 9: device "5" goes there already by line 8',
    ]);
  });

  test("JSON", async () => {
    const text = `[
  { "device": "1" }, { "device": "" },
  { "unit": "[\\"}" },
  7,

  { "device": 12345678901234567890 },
  { "device": "2", "technican": "Ana", "name": ["x"] },
  { "device": "3", "destination": "toString" }
]`;
    expect(await problems("a.json", text)).toEqual([
      "line 2: device is missing",
      "line 3: device is missing",
      "line 4: must be a row of columns",
      "line 6: device must be text, in quotes",
      "line 7: name must be text",
      'line 7: unknown column "technican"',
      'line 8: destination "toString" is not configured',
    ]);
  });

  test("YAML", async () => {
    const text = "- device: 1\n- device:\n- just text\n- device: 2\n  colour: red\n- device: [1]\n";
    expect(await problems("a.yaml", text)).toEqual([
      "line 2: device is missing",
      "line 3: must be a row of columns",
      'line 4: unknown column "colour"',
      "line 6: device must be text",
    ]);
  });

  test.each([
    ["a.csv", "", "the file is empty"],
    ["a.csv", "unit,name\na,b\n", "line 2: device is missing"],
    ["a.csv", "device,unit,device\n1,a,1\n", 'line 1: column "device" is there twice'],
    ["a.csv", 'device,unit\n1,"a\n2,b\n', /^line \d: Quote Not Closed/],
    ["a.json", "[\n{},\n}", /^line 3: not JSON/],
    ["a.json", "{}", "line 1: must be a list of rows"],
    ["a.yaml", "- device: 1\n  unit: [\n", /^line \d: /],
    ["a.yaml", "device: 1", "line 1: must be a list of rows"],
    ["a.xlsx", "PK", "the file's name must end in .csv, .json, .yaml or .yml"],
    ["a.csv", Buffer.from("device,name\n1,Jos\xe9\n", "latin1"), "the file is not UTF-8 text"],
    ["a.csv", new Uint8Array(20_000_001), "the file is longer than 20000000 bytes"],
    [
      "a.yaml",
      `# ${"x".repeat(1_000_000)}\n- device: 1`,
      "YAML is read up to 1000000 bytes; CSV may be longer",
    ],
  ])("%s %#", async (name, text, problem) => {
    const found = await problems(name, text);
    expect(found[0]).toMatch(problem);
  });

  test("a file that is not there", async () => {
    const loaded = await loadMapping(join(dir, "none.csv"), KNOWN);
    expect(loaded).toMatchObject({ kind: "broken", problems: [expect.stringContaining("cannot be read")] });
  });

  test("a hundred of them at most", async () => {
    const found = await problems("a.csv", `device,unit\n${",x\n".repeat(150)}`);
    expect(found).toHaveLength(101);
    expect(found.at(-1)).toBe("and 50 more");
  });
});

describe("a watched mapping", () => {
  const told: unknown[] = [];
  const events = {
    mappingReloaded: (event: unknown) => told.push(["reloaded", event]),
    mappingProblem: (event: unknown) => told.push(["problem", event]),
  };
  async function watch(file: string) {
    const watched = await watchMapping(file, KNOWN, { events, pollMs: 20 });
    if (watched.kind === "broken") throw new Error(watched.problems.join("\n"));
    return watched.mapping;
  }
  beforeEach(() => told.splice(0));

  test("follows its file, keeps the last good one, and reports both", async () => {
    const file = write("fleet.csv", "device,unit\n1,a\n");
    const mapping = await watch(file);
    const unitOf = () => mapping.routes("vans", "1")[0]?.unit.unitId;
    expect(unitOf()).toBe("a");

    write("fleet.csv", "device,unit\n1,b\n2,c\n");
    await expect.poll(unitOf, { timeout: scaled(15_000) }).toBe("b");
    expect(mapping.rows).toBe(2);
    expect(told).toEqual([["reloaded", { file, rows: 2 }]]);

    write("fleet.csv", "device,unit,destination\n1,b,nowhere\n");
    await expect.poll(() => told.length, { timeout: scaled(15_000) }).toBe(2);
    expect(told[1]).toEqual([
      "problem",
      { file, problems: ['line 2: destination "nowhere" is not configured'] },
    ]);
    expect(unitOf()).toBe("b");

    rmSync(file);
    await expect.poll(() => told.length, { timeout: scaled(15_000) }).toBe(3);
    expect(unitOf()).toBe("b");

    write("next.csv", "device,unit\n1,d\n");
    renameSync(join(dir, "next.csv"), file);
    await expect.poll(unitOf, { timeout: scaled(15_000) }).toBe("d");
    expect(told).toHaveLength(4);
    mapping.stop();
  });

  test("waits until the file has stopped changing", async () => {
    const file = write("fleet.csv", "device,unit\n1,a\n");
    const mapping = await watch(file);
    // Written piece by piece, as a slow copy would: every look at it finds another time.
    let text = "device,unit\n";
    for (let i = 0; i < 30; i++) {
      text += `${i},unit-${i}\n`;
      writeFileSync(file, text);
      utimesSync(file, new Date(), new Date(Date.now() + i * 1000));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await expect.poll(() => mapping.rows, { timeout: scaled(15_000) }).toBe(30);
    expect(told).toEqual([["reloaded", { file, rows: 30 }]]);
    mapping.stop();
  });

  test("says what is wrong with the file, since when, and which rows stay in use, until it can be used", async () => {
    const file = write("fleet.csv", "device,unit\n1,a\n");
    let now = 1000;
    const watched = await watchMapping(file, KNOWN, { events, pollMs: 20, now: () => now });
    if (watched.kind === "broken") throw new Error(watched.problems.join("\n"));
    const { mapping } = watched;
    expect(mapping.problem()).toBeNull();

    now = 2000;
    write("fleet.csv", "device,unit\n1,a\n3.52094E+14,b\n");
    const problem = () => mapping.problem()?.problems.join();
    await expect.poll(problem, { timeout: scaled(15_000) }).toMatch(/^line 3: device is a rounded number/);
    expect(mapping.problem()).toMatchObject({ file, sinceMs: 2000, rowsReadAtMs: 1000 });

    now = 3000;
    rmSync(file);
    await expect.poll(problem, { timeout: scaled(15_000) }).toMatch(/cannot be read/);
    expect(mapping.problem()).toMatchObject({ sinceMs: 2000, rowsReadAtMs: 1000 });

    now = 4000;
    write("fleet.csv", "device,unit\n1,a\n");
    await expect.poll(() => mapping.problem(), { timeout: scaled(15_000) }).toBeNull();

    now = 5000;
    write("fleet.csv", "device,unit\n1,a,b\n");
    await expect.poll(() => mapping.problem(), { timeout: scaled(15_000) }).not.toBeNull();
    expect(mapping.problem()).toMatchObject({ sinceMs: 5000, rowsReadAtMs: 4000 });
    mapping.stop();
  });

  test("does not start on a broken file", async () => {
    expect((await watchMapping(write("a.csv", "nothing\n1\n"), KNOWN, { events })).kind).toBe("broken");
  });
});
