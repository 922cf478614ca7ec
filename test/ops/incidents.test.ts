/** What goes wrong at the doors is remembered within bounds, put into words while it lasts, and ends with its cure. */

import { describe, expect, test } from "vitest";
import { addressShare } from "../../src/addresses.ts";
import { diagnoseIncidents } from "../../src/ops/diagnose/incidents.ts";
import { createIncidents } from "../../src/ops/incidents.ts";
import { INCIDENT_KINDS, type IncidentKind } from "../../src/status/process.ts";

const START = Date.parse("2026-11-29T12:00:00Z");
const MINUTE_MS = 60_000;
const foreign = (subject: string) => ({ kind: "foreign_device", where: "source vans", subject }) as const;
const login = (subject: string) => ({ kind: "device_login_refused", where: "source vans", subject }) as const;
const topic = { kind: "topic_refused", where: "source vans", subject: "van-41" } as const;

function watched() {
  const clock = { now: START };
  const incidents = createIncidents(() => clock.now);
  const names = () =>
    incidents.recent().map(({ count, subjects }) => ({ count, names: subjects.map(({ name }) => name) }));
  return { clock, incidents, names, problems: () => diagnoseIncidents(incidents.recent(), clock.now) };
}

describe("incidents", () => {
  test("are counted from the first one on, together and for each of the last few who caused them", () => {
    const { clock, incidents } = watched();
    for (const subject of ["a", "b", "a", "c"]) {
      incidents.note(foreign(subject));
      clock.now += 1000;
    }
    expect(incidents.recent()).toMatchObject([
      {
        kind: "foreign_device",
        where: "source vans",
        since: "2026-11-29T12:00:00.000Z",
        lastAt: "2026-11-29T12:00:03.000Z",
        count: 4,
        subjects: [
          { name: "c", count: 1, since: "2026-11-29T12:00:03.000Z" },
          {
            name: "a",
            count: 2,
            since: "2026-11-29T12:00:00.000Z",
            lastAt: "2026-11-29T12:00:02.000Z",
            facts: {},
          },
          { name: "b", count: 1 },
        ],
      },
    ]);
  });

  test("end after an hour of quiet, and begin anew", () => {
    const { clock, incidents } = watched();
    incidents.note(foreign("a"));
    clock.now += 3_600_000;
    expect(incidents.recent()).toEqual([]);
    incidents.note(foreign("b"));
    expect(incidents.recent()).toMatchObject([
      { count: 1, subjects: [{ name: "b" }], since: "2026-11-29T13:00:00.000Z" },
    ]);
  });

  test("take bounded memory, even when senders invent names", () => {
    const incidents = createIncidents(() => START);
    for (let i = 0; i < 5000; i++) incidents.note({ ...foreign(`x${i}`), where: `source ${i}` });
    for (let i = 0; i < 5000; i++) {
      const facts = { topic: "t".repeat(10_000) };
      incidents.note({ ...foreign(`${i}`.padEnd(10_000, "y")), facts });
    }
    const recent = incidents.recent();
    expect(recent).toHaveLength(2000);
    expect(JSON.stringify(recent).length).toBeLessThan(1_000_000);
  });

  test("show nothing that would change how the page or a terminal reads", () => {
    const { incidents } = watched();
    incidents.note({ ...foreign("van\u202e\n1"), facts: { topic: "a\u001b[2J" } });
    expect(incidents.recent()[0]?.subjects[0]).toMatchObject({
      name: "van\\u{202e}\\n1",
      facts: { topic: "a\\x1b[2J" },
    });
    expect(incidents.ended(foreign("van\u202e\n1"))).toBe(true);
    expect(incidents.recent()).toEqual([]);
  });

  test("are a problem for as long as their kind says, with where and since when", () => {
    const { incidents } = watched();
    incidents.note(foreign("van-2 by login van-1"));
    const [problem] = diagnoseIncidents(incidents.recent(), START + MINUTE_MS);
    expect(problem).toMatchObject({ severity: "warning", where: "source vans", sinceMs: START });
    expect(problem?.subjects).toEqual(["van-2 by login van-1"]);
    expect(problem?.what).toContain("van-2 by login van-1");
    expect(diagnoseIncidents(incidents.recent(), START + 16 * MINUTE_MS)).toEqual([]);
  });

  test.each(INCIDENT_KINDS)("%s has its words, with what to do", (kind: IncidentKind) => {
    const { incidents, problems } = watched();
    incidents.note({ kind, where: "source vans", subject: "van-41" });
    const [problem] = problems();
    expect(problem?.kind).toBe(kind);
    expect(problem?.what).not.toMatch(/NaN/);
    expect(problem?.doNext).toMatch(/[.]$/);
  });
});

describe("an incident ends", () => {
  test("for each of those who caused it, and as a whole with the last of them", () => {
    const { incidents, names } = watched();
    for (const subject of ["van-1", "van-1", "van-2"]) incidents.note(login(subject));
    expect(incidents.ended(login("van-3"))).toBe(false);
    expect(incidents.ended({ ...login("van-1"), where: "source trucks" })).toBe(false);
    expect(incidents.ended(login("van-1"))).toBe(true);
    expect(incidents.ended(login("van-1"))).toBe(false);
    expect(names()).toEqual([{ count: 1, names: ["van-2"] }]);
    incidents.ended(login("van-2"));
    expect(names()).toEqual([]);
  });

  test("and begins anew, with its own count and beginning", () => {
    const { clock, incidents } = watched();
    incidents.note(login("van-1"));
    incidents.note(login("van-2"));
    incidents.ended(login("van-1"));
    clock.now += 5 * MINUTE_MS;
    incidents.note(login("van-1"));
    expect(incidents.recent()).toMatchObject([
      {
        count: 2,
        subjects: [{ name: "van-1", count: 1, since: "2026-11-29T12:05:00.000Z" }, { name: "van-2" }],
      },
    ]);
  });

  test("within a minute where it repeats itself every few seconds, wherever the cure was", () => {
    const { clock, incidents, problems } = watched();
    for (let i = 0; i < 10; i++) {
      incidents.note(login("van-1"));
      clock.now += 5000;
    }
    clock.now += 54_000;
    expect(problems()).toHaveLength(1);
    clock.now += 1000;
    expect(problems()).toEqual([]);
  });

  test("later where it comes seldom, even if it comes seldom many at a time", () => {
    const { clock, incidents, problems } = watched();
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 3; i++) incidents.note(login("van-1"));
      clock.now += 6 * MINUTE_MS;
      if (round > 0) expect(problems()[0]?.what).toContain("van-1");
    }
    clock.now += 6 * MINUTE_MS;
    expect(problems()).toEqual([]);
  });

  test("once a device was allowed for a minute, where it publishes under several topics", () => {
    const { clock, incidents, names } = watched();
    incidents.note(topic);
    clock.now += 10_000;
    expect(incidents.ended(topic)).toBe(true);
    clock.now += 40_000;
    incidents.note(topic);
    incidents.ended(topic);
    clock.now += 59_000;
    expect(names()).toEqual([{ count: 2, names: ["van-41"] }]);
    clock.now += 1000;
    expect(names()).toEqual([]);
  });

  test("at once where it was quiet for a minute before", () => {
    const { clock, incidents, names } = watched();
    incidents.note(topic);
    clock.now += 61_000;
    expect(names()).toHaveLength(1);
    incidents.ended(topic);
    expect(names()).toEqual([]);
  });

  test("a flood of either costs little", () => {
    const incidents = createIncidents();
    const startedAt = performance.now();
    for (let i = 0; i < 100_000; i++) incidents.ended(topic);
    // Some 0.1 µs each; a hundred times that is noticed.
    expect(performance.now() - startedAt).toBeLessThan(1000);
    incidents.note(foreign("a"));
    for (let i = 0; i < 100_000; i++)
      incidents.note({ ...foreign(`topic/${i}`), facts: { vendor: "owntracks" } });
    expect(incidents.recent()[0]?.count).toBe(100_001);
  });
});

describe("in words", () => {
  const said = (...noted: Parameters<ReturnType<typeof createIncidents>["note"]>[0][]) => {
    const { clock, incidents } = watched();
    for (const each of noted) incidents.note(each);
    clock.now += MINUTE_MS / 2;
    const [problem] = diagnoseIncidents(incidents.recent(), clock.now);
    return problem ?? { what: "", doNext: "", whose: null };
  };

  test("a wrong password: who, from where, how often and since when", () => {
    const facts = { why: "wrong_password", address: "10.0.0.7" };
    const { what, doNext, whose } = said(...Array.from({ length: 3 }, () => ({ ...login("van-41"), facts })));
    expect(what).toContain("van-41: wrong password from 10.0.0.7, 3 times since 12:00 UTC");
    expect(doNext).toContain("mqtt.listen.devices");
    expect(whose).toBe("device");
  });

  test("an unknown username is told from a wrong password", () => {
    const { what, doNext } = said({ ...login("van-14"), facts: { why: "unknown_username", address: "" } });
    expect(what).toContain("van-14: unknown username, at 12:00 UTC");
    expect(doNext).toMatch(/add its login/);
  });

  test("a topic: which, what is allowed, and a line to copy", () => {
    const facts = { topic: "owntracks/van-41/phone", allowed: "van-41/#", suggested: '["owntracks/%u/#"]' };
    const { what, doNext } = said({ ...topic, facts });
    expect(what).toContain("van-41 publishes to owntracks/van-41/phone, allowed is van-41/#, at 12:00 UTC");
    expect(doNext).toContain('topics: ["owntracks/%u/#"]');
    expect(said({ ...topic, facts: { ...facts, suggested: "" } }).doNext).not.toContain("topics:");
  });

  test("a source that takes more than its share: since when, how much, and how long it waited", () => {
    const flood = { kind: "share_used_up", where: "source vans", subject: "vans" } as const;
    const { what } = said(
      { ...flood, facts: { waitedMs: "900" } },
      { ...flood, facts: { waitedMs: "4000" } },
    );
    expect(what).toMatch(/^Since 12:00 UTC .* 2 of its messages had to wait.* the last for 4 s\./);
  });

  test("topics that nobody reads: with the vendor they fit", () => {
    const unread = { kind: "topic_unread", where: "broker yard", subject: "owntracks/a/b" } as const;
    expect(said(unread).doNext).toContain("mqtt.topics");
    const { doNext } = said({ ...unread, facts: { vendor: "owntracks", filter: "owntracks/+/+" } });
    expect(doNext).toMatch(/would fit vendor owntracks.*topics: \["owntracks\/\+\/\+"\]/);
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
