/** What goes wrong at the doors is remembered within bounds and put into words while it lasts. */

import { describe, expect, test } from "vitest";
import { addressShare } from "../../src/addresses.ts";
import { diagnoseIncidents } from "../../src/ops/diagnose/incidents.ts";
import { createIncidents } from "../../src/ops/incidents.ts";

const START = Date.parse("2026-11-29T12:00:00Z");
const foreign = (subject: string) => ({ kind: "foreign_device", where: "source vans", subject }) as const;

describe("incidents", () => {
  test("are counted from the first one on, with the last few who caused them", () => {
    let now = START;
    const incidents = createIncidents(() => now);
    for (const subject of ["a", "b", "a", "c"]) {
      incidents.note(foreign(subject));
      now += 1000;
    }
    expect(incidents.recent()).toEqual([
      {
        kind: "foreign_device",
        where: "source vans",
        since: "2026-11-29T12:00:00.000Z",
        lastAt: "2026-11-29T12:00:03.000Z",
        count: 4,
        subjects: ["c", "a", "b"],
      },
    ]);
  });

  test("end after an hour of quiet, and begin anew", () => {
    let now = START;
    const incidents = createIncidents(() => now);
    incidents.note(foreign("a"));
    now += 3_600_000;
    expect(incidents.recent()).toEqual([]);
    incidents.note(foreign("b"));
    expect(incidents.recent()).toMatchObject([
      { count: 1, subjects: ["b"], since: "2026-11-29T13:00:00.000Z" },
    ]);
  });

  test("take bounded memory, even when senders invent names", () => {
    const incidents = createIncidents(() => START);
    for (let i = 0; i < 5000; i++) incidents.note({ ...foreign(`x${i}`), where: `source ${i}` });
    for (let i = 0; i < 5000; i++) incidents.note(foreign("y".repeat(10_000) + i));
    const recent = incidents.recent();
    expect(recent).toHaveLength(2000);
    expect(JSON.stringify(recent).length).toBeLessThan(1_000_000);
  });

  test("are a problem for as long as their kind says, with where and since when", () => {
    const incidents = createIncidents(() => START);
    incidents.note(foreign("van-2 by login van-1"));
    const [problem] = diagnoseIncidents(incidents.recent(), START + 60_000);
    expect(problem).toMatchObject({ severity: "warning", where: "source vans" });
    expect(problem?.what).toContain("van-2 by login van-1");
    expect(problem?.what).toContain("2026-11-29T12:00:00");
    expect(diagnoseIncidents(incidents.recent(), START + 16 * 60_000)).toEqual([]);
  });
});

test.each([
  ["203.0.113.7", "203.0.113.7"],
  ["::ffff:203.0.113.7", "203.0.113.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
  ["2001:db8:1:3::9", "2001:db8:1:3::/64"],
  ["::1", "0:0:0:0::/64"],
  ["no address", "no address"],
])("%s has the share of %s", (address, share) => expect(addressShare(address)).toBe(share));
