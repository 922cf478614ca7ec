import { describe, expect, it } from "vitest";
import { diagnose } from "../../../src/ops/diagnose/index.ts";
import { identityOf, sumAccounting } from "../../../src/status/accounting.ts";
import type { BrokerStatus, PollerStatus } from "../../../src/status/process.ts";
import type { QueueStatus, RedisStatus } from "../../../src/status/queue.ts";
import { AT, before, destination, healthy, OPEN, source, troubled } from "../sample.ts";

const find = (queue: QueueStatus, brokers: BrokerStatus[] = []) =>
  diagnose({ queue, brokers, pollers: [], clocks: [] });

const redis = (changes: Partial<RedisStatus>) => healthy({ redis: { ...healthy().redis, ...changes } });
const to = (changes: Parameters<typeof destination>[0]) => healthy({ destinations: [destination(changes)] });
const from = (changes: Parameters<typeof source>[0]) => healthy({ sources: [source(changes)] });
const accounting = source().accounting;

const BROKER: BrokerStatus = {
  name: "yard",
  kind: "client",
  state: "connected",
  since: before(180_000),
  reason: null,
  unacked: 0,
  clients: null,
};

/** What each reason says beside `failed`, whose advice would be wrong for them. */
const DEAD_LETTERS: [string, RegExp, RegExp][] = [
  ["unconfirmed", /never said/, /Dispatch Map/],
  ["oversize", /too large/, /limit of its own/],
  ["refused", /refused the requests/, /name the field/],
];

describe("diagnose", () => {
  it("finds nothing in a healthy gateway", () => {
    expect(find(healthy(), [BROKER, { ...BROKER, name: "spare", state: "standby" }])).toEqual([]);
    expect(find(healthy({ sources: [], destinations: [] }))).toEqual([]);
  });

  const gate = (state: "paused" | "probing" | "ramping", reason: string) => ({
    ...OPEN,
    state,
    reason,
    untilMs: Date.parse(AT) + 4_000,
  });
  const letters = (at: string, reason = "failed") => ({
    count: 1,
    bytes: 300,
    recent: [
      {
        id: "1",
        at,
        destination: "acme",
        unit: "Van 7",
        externalId: "x",
        reason,
        message: "Unknown unit",
      },
    ],
  });
  const set = (reason: string, at: string) => ({
    count: 1,
    bytes: 300,
    oldestAt: at,
    recent: [{ id: "1", at, source: "motive", reason, problem: "message: not JSON" }],
  });

  it.each<[string, QueueStatus, "error" | "warning", string, RegExp, RegExp]>([
    [
      "a destination taken out too early",
      healthy({ orphans: [{ destination: "old", waiting: 12 }] }),
      "error",
      "destination old",
      /12 pings wait/,
      /Put it back/,
    ],
    [
      "Redis gone",
      redis({ reachable: false, problems: ["ECONNREFUSED"] }),
      "error",
      "Redis",
      /ECONNREFUSED.*503/,
      /redis\.url/,
    ],
    [
      "Redis read-only",
      redis({ writable: false, problems: ["MISCONF"] }),
      "error",
      "Redis",
      /refuses writes: MISCONF/,
      /disk full/,
    ],
    ["no AOF", redis({ aof: "off" }), "error", "Redis", /append-only file is off/, /appendonly yes/],
    ["AOF unsynced", redis({ aof: "no" }), "warning", "Redis", /appendfsync no/, /everysec/],
    ["AOF unknown", redis({ aof: "unknown" }), "warning", "Redis", /does not say/, /provider's console/],
    ["evicting", redis({ maxmemoryPolicy: "allkeys-lru" }), "error", "Redis", /allkeys-lru/, /noeviction/],
    [
      "memory short",
      redis({ usedMemoryBytes: 91, maxMemoryBytes: 100 }),
      "warning",
      "Redis",
      /91 %/,
      /maxmemory/,
    ],
    [
      "something new about Redis",
      redis({ problems: ["clock differs by 3 s"] }),
      "warning",
      "Redis",
      /clock differs/,
      /log/,
    ],
    [
      "identity parted",
      from({ identity: { messages: 0, readings: 0, stored: 3 } }),
      "error",
      "source bouncie-vans",
      /3 unaccounted for: stored =/,
      /accountingMismatch/,
    ],
    [
      "counted twice",
      from({ identity: { messages: -2, readings: 0, stored: 0 } }),
      "error",
      "source bouncie-vans",
      /2 counted twice: messages =/,
      /report it/,
    ],
    [
      "destination forbidden",
      to({ gate: gate("paused", "forbidden") }),
      "error",
      "destination acme-austin",
      /stopped because.*403.*208 positions are waiting/,
      /tn\.dis\.gpspings:w/,
    ],
    [
      "credentials refused",
      to({ gate: gate("probing", "credentials_refused") }),
      "error",
      "destination acme-austin",
      /clientSecret/,
      /space or newline/,
    ],
    [
      "status nobody foresaw",
      to({ gate: gate("paused", "http_418") }),
      "error",
      "destination acme-austin",
      /answers 418/,
      /attemptMade/,
    ],
    [
      "scope throttled",
      to({ scopeGate: gate("paused", "throttled") }),
      "warning",
      "tenant 1015 (acme-austin)",
      /429.*Next try in 4 s/,
      /ratePerSecond/,
    ],
    [
      "scope unavailable",
      to({ scopeGate: gate("probing", "http_503") }),
      "warning",
      "tenant 1015 (acme-austin)",
      /answers 503.*One request is out/,
      /by itself/,
    ],
    [
      "backlog",
      to({ oldestWaitingAgeMs: 45_000 }),
      "warning",
      "destination acme-austin",
      /behind.*45 s/,
      /running and not overloaded/,
    ],
    [
      "old backlog",
      to({ oldestWaitingAgeMs: 400_000 }),
      "error",
      "destination acme-austin",
      /behind.*7 min/,
      /running/,
    ],
    [
      "buffer nearly full",
      to({ bufferBytes: 81, bufferLimitBytes: 100 }),
      "warning",
      "destination acme-austin",
      /81 % full/,
      /503/,
    ],
    [
      "buffer full",
      to({ bufferBytes: 100, bufferLimitBytes: 100 }),
      "error",
      "destination acme-austin",
      /buffer is full/,
      /bufferBytes/,
    ],
    [
      "silent unit",
      to({ silentUnits: [{ unit: "Van 12", lastFixAt: before(2_400_000), ageMs: 2_400_000 }] }),
      "warning",
      "destination acme-austin",
      /1 of 212 units.*Van 12 \(40 min\)/,
      /SIM/,
    ],
    [
      "fault of ours",
      healthy({ quarantine: set("internal_error", before(5_000)) }),
      "error",
      "quarantine",
      /fault of the gateway/,
      /waypost decode/,
    ],
    [
      "malformed messages",
      healthy({ quarantine: set("malformed", before(5_000)) }),
      "warning",
      "quarantine",
      /motive: message: not JSON/,
      /decode/,
    ],
    [
      "dead letter",
      healthy({ deadLetters: letters(before(5_000)) }),
      "warning",
      "dead letters",
      /Van 7.*Unknown unit/,
      /Devices/,
    ],
    [
      "answers that confirm nothing",
      to({ gate: gate("paused", "unreadable_answers") }),
      "error",
      "destination acme-austin",
      /confirm no ping/,
      /Nothing is lost/,
    ],
    [
      "no answer",
      to({
        lanes: [
          { lane: 0, waiting: 0, inFlight: 9, batchId: "b", batchAgeMs: 6000, unansweredMs: 5900 },
          { lane: 1, waiting: 0, inFlight: 0, batchId: null, batchAgeMs: null, unansweredMs: null },
        ],
      }),
      "warning",
      "destination acme-austin",
      /no answer for/,
      /requestTimeoutMs/,
    ],
    [
      "held device",
      healthy({ unmapped: [{ source: "vans", device: "352", lastFixAt: null, policy: "hold" }] }),
      "warning",
      "mapping",
      /352 of vans/,
      /row/,
    ],
    [
      "unmapped device that is forwarded",
      healthy({ unmapped: [{ source: "vans", device: "352", lastFixAt: before(1e4), policy: "forward" }] }),
      "warning",
      "mapping",
      /under its own id .*352 of vans/,
      /row/,
    ],
    ...DEAD_LETTERS.map(
      ([reason, what, doNext]): [string, QueueStatus, "warning", string, RegExp, RegExp] => [
        `dead letter: ${reason}`,
        healthy({ deadLetters: letters(before(5_000), reason) }),
        "warning",
        "dead letters",
        what,
        doNext,
      ],
    ),
  ])("finds: %s", (_, queue, severity, where, what, doNext) => {
    const problems = find(queue);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ severity, where });
    expect(problems[0]?.what).toMatch(what);
    expect(problems[0]?.doNext).toMatch(doNext);
  });

  it.each<[string, QueueStatus]>([
    ["a backlog no older than a probe", to({ oldestWaitingAgeMs: 20_000 })],
    ["a ramping scope", to({ scopeGate: gate("ramping", "throttled") })],
    ["a dead letter of yesterday", healthy({ deadLetters: letters(before(26 * 3_600_000)) })],
    ["a quarantined message of yesterday", healthy({ quarantine: set("malformed", before(26 * 3_600_000)) })],
    [
      "an unmapped device of yesterday",
      healthy({ unmapped: [{ source: "a", device: "1", lastFixAt: before(9e7), policy: "forward" }] }),
    ],
    [
      "a fleet that is silent as one, at night",
      to({ unitsKnown: 1, silentUnits: [{ unit: "Van 1", lastFixAt: before(9e6), ageMs: 9e6 }] }),
    ],
    ["no memory limit", redis({ usedMemoryBytes: 9e9, maxMemoryBytes: 0 })],
  ])("does not cry over %s", (_, queue) => {
    expect(find(queue)).toEqual([]);
  });

  it.each<[BrokerStatus["state"], string | null, "error" | "warning", RegExp]>([
    ["disconnected", "connection refused", "error", /Not connected for 3 min: connection refused/],
    ["refused", "bad username or password", "error", /refuses us: bad username/],
    ["connecting", null, "warning", /Connecting for 3 min/],
  ])("tells of a broker that is %s", (state, reason, severity, what) => {
    const problems = find(healthy(), [{ ...BROKER, state, reason }]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ severity, where: "broker yard" });
    expect(problems[0]?.what).toMatch(what);
  });

  it("reports a shared scope once and names at most four of many", () => {
    const scopeGate = gate("paused", "timeout");
    const silentUnits = Array.from({ length: 9 }, (_, n) => ({
      unit: `V${n}`,
      lastFixAt: before(1e6),
      ageMs: 1e6,
    }));
    const problems = find(
      healthy({
        destinations: [destination({ scopeGate, silentUnits }), destination({ name: "second", scopeGate })],
      }),
    );
    expect(problems.filter(({ where }) => where.startsWith("tenant 1015"))).toHaveLength(1);
    expect(problems.find(({ what }) => what.includes("silent"))?.what).toContain("V3 (17 min) and 5 more");
  });

  it("groups wrong clocks by source, and knows a time zone", () => {
    const clock = {
      source: "vans",
      deviceId: "v1",
      offsetMs: -9e4,
      text: "ahead by about 90 s",
      looksLikeTimeZone: false,
    };
    const zone = {
      source: "trackers",
      deviceId: "t1",
      offsetMs: 18e6,
      text: "behind by about 5 h",
      looksLikeTimeZone: true,
    };
    const problems = diagnose({
      queue: healthy(),
      brokers: [],
      pollers: [],
      clocks: [clock, zone, { ...clock, deviceId: "v2" }],
    });
    expect(problems.map(({ where }) => where)).toEqual(["source vans", "source trackers"]);
    expect(problems[0]?.what).toContain("v1 is ahead by about 90 s, v2 is ahead");
    expect(problems[1]?.doNext).toContain("UTC");
  });

  it("names receivers whose weeks rolled over, and says what mends them", () => {
    const clock = { source: "vans", deviceId: "v1", offsetMs: -9e4, text: "ahead", looksLikeTimeZone: false };
    const weeks = 7 * 86_400_000;
    const rolled = { ...clock, deviceId: "v2", offsetMs: 1024 * weeks + 800 };
    const twice = { ...clock, deviceId: "v3", offsetMs: 2048 * weeks + 800 };
    const problems = diagnose({ queue: healthy(), brokers: [], pollers: [], clocks: [clock, rolled, twice] });
    expect(problems.map(({ kind }) => kind)).toEqual(["clock_wrong", "time_rolled_over"]);
    expect(problems[1]).toMatchObject({ where: "source vans", whose: "device", subjects: ["v2", "v3"] });
    expect(problems[1]?.what).toContain("v2, v3");
    expect(problems[1]?.doNext).toContain("firmware");
  });

  it("puts errors first, each with a place and a next step", () => {
    const problems = find(troubled(), [{ ...BROKER, state: "disconnected" }]);
    const severities = problems.map(({ severity }) => severity);
    expect(severities).toEqual(severities.toSorted());
    expect(severities).toContain("error");
    expect(severities).toContain("warning");
    for (const { where, what, doNext } of problems) {
      expect(where).not.toBe("");
      expect(what).toMatch(/\.$/);
      expect(doNext).toMatch(/\.$/);
    }
  });
});

describe("the accounting", () => {
  it("adds up over sources, term by term", () => {
    const { sources } = troubled();
    const total = sumAccounting(sources);
    expect(total.messages).toBe(12_480 + 3_204 + 3_204);
    expect(total.waiting).toBe(208 + 1_218 + 1_218);
    expect(identityOf(total)).toEqual({ messages: 0, readings: 0, stored: 0 });
  });

  it.each([
    ["messages", "messages", 1],
    ["messages", "malformed", -1],
    ["readings", "duplicates", -1],
    ["stored", "superseded", -1],
    ["stored", "inFlight", -1],
  ] as const)("shows line %s parted when %s is off by one", (line, term, parted) => {
    const changed = { ...accounting, [term]: accounting[term] + 1 };
    expect(identityOf(changed)).toEqual({ messages: 0, readings: 0, stored: 0, [line]: parted });
  });
});

describe("vendors that are asked", () => {
  const POLLER: PollerStatus = {
    name: "geotab-vans",
    state: "polling",
    since: before(600_000),
    reason: null,
    detail: "",
    lastSuccessAt: before(4000),
    cursorAt: before(4000),
    gap: null,
    reads: { pages: 0, rows: 0, unchanged: 0, emptyRounds: 0 },
  };
  const of = (changes: Partial<PollerStatus>) =>
    diagnose({ queue: healthy(), brokers: [], pollers: [{ ...POLLER, ...changes }], clocks: [] });

  it("are no problem while they answer, while another process asks, or while they stumble", () => {
    expect(of({})).toEqual([]);
    expect(of({ state: "standby", reason: "another process holds the lease" })).toEqual([]);
    for (const state of ["starting", "throttled", "failing"] as const) {
      expect(of({ state, reason: "http_503", since: before(30_000) })).toEqual([]);
    }
  });

  it("are one that grows with time while they do not answer", () => {
    const failing = (ms: number) => of({ state: "failing", reason: "http_503", since: before(ms) });
    expect(failing(90_000)).toMatchObject([{ severity: "warning", where: "source geotab-vans" }]);
    const [problem] = failing(400_000);
    expect(problem).toMatchObject({ severity: "error", what: expect.stringContaining("http_503") });
  });

  it.each([
    "unauthorized",
    "forbidden",
    "not_found",
    "bad_request",
    "over_limit",
    "redirect",
    "foreign_host",
  ])("%s is told at once, with what to do", (reason) => {
    const [problem] = of({ state: "refused", reason, detail: "Word", since: before(0) });
    expect(problem?.severity).toBe("error");
    expect(problem?.what).toContain(`(${reason}, Word)`);
    expect(problem?.doNext).not.toContain("pollStateChanged");
  });

  it("have a gap reported for a day", () => {
    const gap = { from: before(32 * 86_400_000), to: before(3_600_000) };
    expect(of({ gap })).toMatchObject([{ severity: "warning", what: expect.stringContaining(gap.from) }]);
    expect(of({ gap: { ...gap, to: before(2 * 86_400_000) } })).toEqual([]);
  });
});
