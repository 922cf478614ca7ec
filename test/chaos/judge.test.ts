/** The judge sees every fault planted in a history, and nothing in one that is well. */

import { describe, expect, test } from "vitest";
import type { Accepted, Doomed, Episode, Exchange, FoundDead, History, Issued } from "../../chaos/history.ts";
import { judge, type ViolationKind } from "../../chaos/judge.ts";

const BEGIN = Date.UTC(2026, 10, 20);
const UNITS = ["a", "b"];
const RATE = 5;
/** A reading of every unit each second, for half a minute, with a kill in the middle. */
const SECONDS = 30;
const KILLED_AT = BEGIN + 15_000;

interface Story {
  history: History;
  issued: Map<string, Issued>;
  accepted: Accepted[];
  arrivals: { earliest: number; latest: number }[];
  episodes: Episode[];
  exempt: Map<string, "flushed" | "broker_lost">;
  exchanges: Exchange[];
  doomed: Doomed[];
  dead: FoundDead[];
}

/** Everything is well: all arrived, once and in time, but for one ping that the kill made to be sent again. */
function goodStory(): Story {
  const issued = new Map<string, Issued>();
  const accepted: Accepted[] = [];
  const arrivals: Story["arrivals"] = [];
  for (let second = 0; second < SECONDS; second++) {
    const fixTime = BEGIN + second * 1000;
    for (const unit of UNITS) {
      const place = { latitude: 30 + second / 1000, longitude: -97 };
      const id = `vans:${unit}:${fixTime}`;
      const owedAt = fixTime + 20;
      const sent = { owedAt, unclear: false, handedOver: 1, spooledAt: null };
      issued.set(id, { id, unit, fixTime, ...place, speedMps: 10, ...sent });
      accepted.push({ id, unit, at: fixTime + 300, eventTime: fixTime, ...place, speed: 10 });
    }
    arrivals.push({ earliest: fixTime + 299, latest: fixTime + 300 });
  }
  const episodes = [episodeOf("gateway_kill", KILLED_AT, { killed: true, unsettledAtMost: 2 })];
  const again = accepted.find(({ at }) => at > KILLED_AT - 1000);
  if (again) accepted.push({ ...again, at: KILLED_AT + 2000 });
  accepted.sort((one, other) => one.at - other.at);
  const exempt: Story["exempt"] = new Map();
  const [exchanges, doomed, dead]: [Exchange[], Doomed[], FoundDead[]] = [[], [], []];
  const history = {
    ratePerSecond: RATE,
    recoverWithinMs: 5000,
    requestTimeoutMs: 2000,
    exchanges,
    doomed,
    dead,
    visitors: new Set<string>(),
    spooled: 0,
    issued,
    accepted,
    arrivals,
    episodes,
    exempt,
    refusals: 1,
    mismatches: [],
  };
  return { history, issued, accepted, arrivals, episodes, exempt, exchanges, doomed, dead };
}

function episodeOf(name: string, injectedAt: number, more: Partial<Episode> = {}): Episode {
  return {
    name,
    injectedAt,
    healedAt: injectedAt + 1000,
    endedAt: BEGIN + SECONDS * 1000,
    recoverFrom: injectedAt,
    allowanceMs: 0,
    heldBack: 0,
    unsettledAtMost: 0,
    unsettledUntil: injectedAt,
    killed: false,
    storageAway: false,
    ...more,
  };
}

/** What is left of a list by what a test takes away or puts in. */
function at<T>(list: readonly T[], index: number): T {
  const found = list.at(index);
  if (found === undefined) throw new Error(`nothing at ${index}`);
  return found;
}

/** The first ping accepted after `from` comes again at `again`. Returns what came first. */
function repeat(story: Story, from: number, again: number): Accepted {
  const ping = story.accepted.find(({ at: when }) => when > from);
  if (!ping) throw new Error("nothing was accepted then");
  story.accepted.push({ ...ping, at: again });
  inOrder(story);
  return ping;
}

function inOrder({ accepted }: Story): void {
  accepted.sort((one, other) => one.at - other.at);
}

test("a history in which all is well has no violation, and its figures are right", () => {
  const { total, faults, evidence, violations } = judge(goodStory().history);
  expect(violations).toEqual([]);
  expect(total).toMatchObject({ owed: 60, accepted: 60, lost: 0, duplicated: 1, invented: 0, outOfOrder: 0 });
  expect(faults.map(({ fault, owed, duplicated }) => [fault, owed, duplicated])).toEqual([
    ["no fault", 30, 0],
    ["gateway_kill", 30, 1],
  ]);
  expect(total).toMatchObject({ maxPerSecond: 1, recoveryMs: 300 });
  expect(total.repeatsAtMost).toBe(2);
  expect(evidence).toEqual({
    killsUnderWay: 1,
    duplicates: 1,
    refusals: 1,
    spooled: null,
    deadLetters: null,
  });
});

const planted: [string, ViolationKind, (story: Story) => void][] = [
  [
    "an answer before keep: a ping that was owed when its gateway died",
    "lost",
    ({ accepted }) => void accepted.splice(20, 1),
  ],
  ["a ping dropped on the way", "lost", ({ accepted }) => void accepted.splice(3, 1)],
  [
    "a doubled settle: a ping sent twice while nothing was broken",
    "unexplained_repeat",
    ({ accepted }) => void accepted.splice(6, 0, { ...at(accepted, 4), at: at(accepted, 5).at }),
  ],
  [
    "a repetition of what was accepted long before the kill",
    "unexplained_repeat",
    (story) => repeat(story, KILLED_AT - 4000, KILLED_AT + 1000),
  ],
  [
    "a repetition of what was accepted after the kill",
    "unexplained_repeat",
    (story) => repeat(story, KILLED_AT + 2000, KILLED_AT + 4000),
  ],
  [
    "a repetition that comes long after the healing",
    "unexplained_repeat",
    (story) => repeat(story, KILLED_AT - 2000, KILLED_AT + 14_000),
  ],
  [
    "a second repetition of a ping whose answer was lost once",
    "unexplained_repeat",
    (story) => {
      const ping = repeat(story, BEGIN + 2000, BEGIN + 4000);
      story.exchanges.push({ ids: [ping.id], from: ping.at - 10, to: ping.at + 10, lost: true });
      story.accepted.splice(-1, 0, { ...ping, at: BEGIN + 6000 });
      inOrder(story);
    },
  ],
  [
    "a repetition of a ping that was not in the request whose answer was lost",
    "unexplained_repeat",
    (story) => {
      const ping = repeat(story, BEGIN + 2000, BEGIN + 4000);
      const other = at(story.accepted, story.accepted.indexOf(ping) + 1);
      story.exchanges.push({ ids: [other.id], from: ping.at - 10, to: ping.at + 10, lost: true });
    },
  ],
  [
    "a repetition of a ping whose request was answered, another one's answer being lost later",
    "unexplained_repeat",
    (story) => {
      const ping = repeat(story, BEGIN + 2000, BEGIN + 9000);
      story.exchanges.push({ ids: [ping.id], from: ping.at + 3000, to: ping.at + 3010, lost: true });
    },
  ],
  [
    "a repetition of what a request brought that hung before, and another one brought then",
    "unexplained_repeat",
    (story) => {
      const ping = repeat(story, BEGIN + 2000, BEGIN + 4000);
      story.exchanges.push({ ids: [ping.id], from: ping.at - 2000, to: ping.at - 5, lost: true });
      story.exchanges.push({ ids: [ping.id], from: ping.at - 3, to: ping.at + 5, lost: false });
    },
  ],
  [
    "a second repetition after one that a frozen network had held back",
    "unexplained_repeat",
    (story) => {
      const ping = repeat(story, BEGIN + 2000, BEGIN + 2001);
      story.accepted.push({ ...ping, at: ping.at + 2 });
      story.exchanges.push({ ids: [ping.id], from: ping.at - 1, to: ping.at, lost: true });
      story.exchanges.push({ ids: [ping.id], from: ping.at, to: ping.at + 5, lost: false });
    },
  ],
  [
    "a repetition of what its sender sent twice, while the gateway could know",
    "unexplained_repeat",
    (story) => {
      const ping = repeat(story, BEGIN + 2000, BEGIN + 4000);
      Object.assign(story.issued.get(ping.id) ?? {}, { handedOver: 2 });
    },
  ],
  [
    "a refused ping that is not given up",
    "not_dead_lettered",
    ({ doomed, accepted }) => {
      doomed.push({ id: at(accepted, 4).id, listedAt: null });
      doomed.push({ id: at(accepted, 8).id, listedAt: BEGIN });
    },
  ],
  [
    "a ping that is given up although nothing is wrong with it",
    "wrongly_dead_lettered",
    ({ dead, accepted }) => void dead.push({ id: at(accepted, 4).id, reason: "refused" }),
  ],
  [
    "a ping that is given up without a second look at an answer that could not be read",
    "wrongly_dead_lettered",
    ({ dead, exchanges, accepted }) => {
      const { id, at: when } = at(accepted, 4);
      dead.push({ id, reason: "unconfirmed" });
      exchanges.push({ ids: [id], from: when, to: when, lost: true });
    },
  ],
  [
    "a ping that was given up, sent on its way again and never accepted",
    "lost",
    ({ accepted, doomed, dead }) => {
      const [gone] = accepted.splice(4, 1);
      const id = gone?.id ?? "";
      doomed.push({ id, listedAt: BEGIN + 9000 });
      dead.push({ id, reason: "refused" });
    },
  ],
  [
    "a Redis that was away without anything being set aside on a disk",
    "no_evidence",
    ({ episodes }) => void Object.assign(at(episodes, 0), { storageAway: true }),
  ],
  [
    "more repetitions than a crash explains",
    "too_many_repeats",
    (story) => {
      const before = story.accepted.filter(({ at: when }) => when > KILLED_AT - 2000 && when < KILLED_AT);
      story.accepted.push(...before.slice(0, 2).map((ping) => ({ ...ping, at: KILLED_AT + 1900 })));
      inOrder(story);
    },
  ],
  [
    "twice the rate",
    "rate_exceeded",
    ({ arrivals }) => {
      const { latest } = at(arrivals, 9);
      const more = Array.from({ length: 2 * RATE }, (_, i) => ({
        earliest: latest + 90 * i,
        latest: latest + 90 * i + 1,
      }));
      arrivals.splice(10, 0, ...more);
    },
  ],
  [
    "a ping nobody sent",
    "invented",
    ({ accepted }) => void accepted.push({ ...at(accepted, -1), id: "vans:a:1" }),
  ],
  ["another place", "altered", ({ accepted }) => void Object.assign(at(accepted, 7), { latitude: 30.5 })],
  ["no place", "altered", ({ accepted }) => void Object.assign(at(accepted, 7), { longitude: null })],
  ["another unit", "altered", ({ accepted }) => void Object.assign(at(accepted, 7), { unit: "c" })],
  ["another time", "altered", ({ accepted }) => void Object.assign(at(accepted, 7), { eventTime: 1 })],
  ["another speed", "altered", ({ accepted }) => void Object.assign(at(accepted, 7), { speed: 22.37 })],
  [
    "history in the wrong order",
    "out_of_order",
    ({ accepted }) => {
      // Newest first, and then the two before it the wrong way round.
      const own = accepted.filter(({ unit }) => unit === "a").slice(0, 3);
      const [first, second, third] = [at(own, 0), at(own, 1), at(own, 2)];
      accepted.splice(
        0,
        accepted.length,
        third,
        second,
        first,
        ...accepted.filter((ping) => !own.includes(ping)),
      );
    },
  ],
  [
    "a unit that is never heard of again",
    "slow_recovery",
    ({ accepted, issued }) => {
      for (let i = accepted.length - 1; i >= 0; i--) {
        const ping = at(accepted, i);
        if (ping.unit === "b" && ping.at > KILLED_AT) accepted.splice(i, 1);
      }
      for (const sent of issued.values())
        if (sent.unit === "b" && sent.fixTime >= KILLED_AT - 1000) sent.owedAt = null;
    },
  ],
  [
    "news that comes too late",
    "slow_recovery",
    ({ accepted }) => {
      for (const ping of accepted) {
        if (ping.at > KILLED_AT && ping.at < KILLED_AT + 8000) ping.at = KILLED_AT + 8000;
      }
    },
  ],
  [
    "sums that part",
    "accounting_mismatch",
    ({ history }) => void Object.assign(history, { mismatches: ["vans: kept off by 1"] }),
  ],
  [
    "no kill during traffic",
    "no_evidence",
    ({ episodes }) => void Object.assign(at(episodes, 0), { killed: false }),
  ],
  ["no refusal", "no_evidence", ({ history }) => void Object.assign(history, { refusals: 0 })],
];

describe("a fault planted in it is reported, and nothing else:", () => {
  test.each(planted)("%s", (_, kind, plant) => {
    const story = goodStory();
    plant(story);
    const kinds = new Set(judge(story.history).violations.map((violation) => violation.kind));
    expect([...kinds]).toEqual([kind]);
  });
});

test("a run without any repetition has had no kill under way either, and is no evidence", () => {
  const { history, accepted } = goodStory();
  const again = accepted.findIndex(({ at: when }) => when === KILLED_AT + 2000);
  accepted.splice(again, 1);
  const report = judge(history).violations.map(({ kind, what }) => [kind, what]);
  expect(report).toEqual([
    ["no_evidence", "the run had no killsUnderWay"],
    ["no_evidence", "the run had no duplicates"],
  ]);
});

describe("what is excused:", () => {
  test("one repetition of a ping whose answer was lost, by its id; it is counted at the fault that lost it", () => {
    const story = goodStory();
    const ping = repeat(story, BEGIN + 2000, BEGIN + 4000);
    const other = at(story.accepted, story.accepted.indexOf(ping) + 1);
    // What was never accepted is not among those that may be repeated.
    const ids = [ping.id, other.id, "vans:a:1"];
    story.exchanges.push({ ids, from: ping.at - 10, to: ping.at + 1000, lost: true });
    const { violations, faults } = judge(story.history);
    expect(violations).toEqual([]);
    expect(faults.map(({ duplicated, repeatsAtMost }) => [duplicated, repeatsAtMost])).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  test("a request that a frozen network held back, and the one sent in its place", () => {
    const story = goodStory();
    const ping = repeat(story, BEGIN + 2000, BEGIN + 2001);
    story.exchanges.push({ ids: [ping.id], from: ping.at - 1, to: ping.at, lost: true });
    story.exchanges.push({ ids: [ping.id], from: ping.at, to: ping.at + 5, lost: false });
    expect(judge(story.history).violations).toEqual([]);
  });

  test("a repetition that other faults delayed", () => {
    const story = goodStory();
    repeat(story, KILLED_AT - 2000, KILLED_AT + 14_000);
    at(story.episodes, 0).endedAt = KILLED_AT + 4000;
    story.episodes.push(episodeOf("servicetitan_503", KILLED_AT + 4000, { healedAt: KILLED_AT + 12_000 }));
    expect(judge(story.history).violations).toEqual([]);
  });

  test("a repetition of a message that its sender sent twice, too late for the gateway to know", () => {
    const story = goodStory();
    const first = at(story.accepted, 0);
    const sent = story.issued.get(first.id);
    if (!sent) throw new Error("not sent");
    sent.handedOver = 2;
    // 29 fixes of the unit are newer; with these, more than are remembered.
    for (let n = 1; n < 30; n++) {
      const fixTime = sent.fixTime + 30_000 + n;
      const id = `vans:${sent.unit}:${fixTime}`;
      story.issued.set(id, { ...sent, id, fixTime, owedAt: fixTime });
      story.accepted.push({ ...first, id, eventTime: fixTime, at: fixTime + 1000 });
    }
    story.accepted.push({ ...first, at: sent.fixTime + 40_000 });
    const { violations, resent } = judge(story.history);
    expect([violations, resent]).toEqual([[], 1]);
  });

  test("a ping that had to be refused, was given up, and was accepted when it was redriven, in any order", () => {
    const story = goodStory();
    const [gone] = story.accepted.splice(4, 1);
    if (!gone) throw new Error("nothing was accepted");
    story.accepted.push({ ...gone, at: BEGIN + SECONDS * 1000 });
    story.doomed.push({ id: gone.id, listedAt: BEGIN + 20_000 });
    story.dead.push({ id: gone.id, reason: "refused" });
    const { violations, evidence } = judge(story.history);
    expect([violations, evidence.deadLetters]).toEqual([[], 1]);
  });

  test("a ping given up after two answers that could not be read: ServiceTitan has it", () => {
    const story = goodStory();
    const { id, at: when } = at(story.accepted, 4);
    story.dead.push({ id, reason: "unconfirmed" });
    for (const from of [when, when + 1000]) story.exchanges.push({ ids: [id], from, to: from, lost: true });
    expect(judge(story.history).violations).toEqual([]);
  });

  test("readings of two disks, each in its own order", () => {
    const story = goodStory();
    const own = story.accepted.filter(({ unit }) => unit === "a").slice(0, 3);
    const [first, second, third] = [at(own, 0), at(own, 1), at(own, 2)];
    const rest = story.accepted.filter((ping) => !own.includes(ping));
    story.accepted.splice(0, story.accepted.length, third, second, first, ...rest);
    Object.assign(story.issued.get(first.id) ?? {}, { spooledAt: "north" });
    Object.assign(story.issued.get(second.id) ?? {}, { spooledAt: "south" });
    expect(judge(story.history).violations).toEqual([]);
    Object.assign(story.issued.get(second.id) ?? {}, { spooledAt: "north" });
    expect(judge(story.history).violations.map(({ kind }) => kind)).toEqual(["out_of_order"]);
  });

  test("a ping that is exempt by its id, and only that", () => {
    const story = goodStory();
    const [first, second] = story.accepted.splice(4, 2);
    story.exempt.set(first?.id ?? "", "flushed");
    const { total, violations } = judge(story.history);
    expect(total).toMatchObject({ owed: 60, lost: 1, exempt: 1 });
    expect(violations.map(({ kind, what }) => [kind, what])).toEqual([["lost", second?.id]]);
  });

  test("a ping that is not owed", () => {
    const story = goodStory();
    const [gone] = story.accepted.splice(4, 1);
    const sent = story.issued.get(gone?.id ?? "");
    if (sent) sent.owedAt = null;
    expect(judge(story.history).violations).toEqual([]);
  });

  test("newest first and history after it, in order", () => {
    const story = goodStory();
    const own = story.accepted.filter(({ unit }) => unit === "a").slice(0, 3);
    const [first, second, third] = [at(own, 0), at(own, 1), at(own, 2)];
    const rest = story.accepted.filter((ping) => !own.includes(ping));
    story.accepted.splice(0, story.accepted.length, third, first, second, ...rest);
    expect(judge(story.history).violations).toEqual([]);
  });

  test("the wrong order of a ping with an attempt that had no answer, which is counted", () => {
    const story = goodStory();
    const own = story.accepted.filter(({ unit }) => unit === "a").slice(0, 3);
    const [first, second, third] = [at(own, 0), at(own, 1), at(own, 2)];
    const rest = story.accepted.filter((ping) => !own.includes(ping));
    story.accepted.splice(0, story.accepted.length, third, second, first, ...rest);
    const sent = story.issued.get(first.id);
    if (sent) sent.unclear = true;
    const { violations, outOfOrderUnclear } = judge(story.history);
    expect([violations, outOfOrderUnclear]).toEqual([[], 1]);
  });

  test("a wait as long as the fault asks for", () => {
    const story = goodStory();
    for (const ping of story.accepted) {
      if (ping.at > KILLED_AT && ping.at < KILLED_AT + 6000) ping.at = KILLED_AT + 6000;
    }
    at(story.episodes, 0).allowanceMs = 2000;
    expect(judge(story.history).violations).toEqual([]);
  });

  test("many requests that were noticed late: they need not have come within the second", () => {
    const story = goodStory();
    const { latest } = at(story.arrivals, 9);
    // Whatever came in these 1.2 s was noticed at their end.
    const crowd = Array.from({ length: 2 * RATE }, () => ({ earliest: latest + 10, latest: latest + 1210 }));
    story.arrivals.splice(10, 1, ...crowd);
    expect(judge(story.history).violations).toEqual([]);
  });
});
