/** The judge sees every fault planted in a history, and nothing in one that is well. */

import { describe, expect, test } from "vitest";
import type { Accepted, Episode, History, Issued } from "../../chaos/history.ts";
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
  exempt: Map<string, "flushed" | "broker_lost" | "refused">;
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
      issued.set(id, { id, unit, fixTime, ...place, speedMps: 10, owedAt, unclear: false });
      accepted.push({ id, unit, at: fixTime + 300, eventTime: fixTime, ...place, speed: 10 });
    }
    arrivals.push({ earliest: fixTime + 299, latest: fixTime + 300 });
  }
  const episodes = [episodeOf("gateway_kill", KILLED_AT, { killedUnderWay: true, repeatsAtMost: 2 })];
  const again = accepted.find(({ at }) => at > KILLED_AT - 1000);
  if (again) accepted.push({ ...again, at: KILLED_AT + 2000 });
  accepted.sort((one, other) => one.at - other.at);
  const exempt: Story["exempt"] = new Map();
  const history = {
    ratePerSecond: RATE,
    recoverWithinMs: 5000,
    issued,
    accepted,
    arrivals,
    episodes,
    exempt,
    refusals: 1,
    parted: [],
  };
  return { history, issued, accepted, arrivals, episodes, exempt };
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
    repeatsAtMost: 0,
    killedUnderWay: false,
    ...more,
  };
}

/** What is left of a list by what a test takes away or puts in. */
function at<T>(list: readonly T[], index: number): T {
  const found = list.at(index);
  if (found === undefined) throw new Error(`nothing at ${index}`);
  return found;
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
  expect(evidence).toEqual({ killsUnderWay: 1, duplicates: 1, refusals: 1 });
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
    "a repetition that a fault does not explain",
    "unexplained_repeat",
    ({ episodes }) => void Object.assign(at(episodes, 0), { repeatsAtMost: 0 }),
  ],
  [
    "more repetitions than a crash explains",
    "too_many_repeats",
    ({ accepted }) => {
      const last = accepted.findLastIndex(({ at: when }) => when < KILLED_AT + 2000);
      const again = accepted.slice(last - 3, last).map((ping) => ({ ...ping, at: KILLED_AT + 1900 }));
      accepted.splice(last + 1, 0, ...again);
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
    "identity_parted",
    ({ history }) => void Object.assign(history, { parted: ["vans: kept off by 1"] }),
  ],
  [
    "no kill during traffic",
    "proves_nothing",
    ({ episodes }) => void Object.assign(at(episodes, 0), { killedUnderWay: false }),
  ],
  ["no refusal", "proves_nothing", ({ history }) => void Object.assign(history, { refusals: 0 })],
  [
    "no duplicate",
    "proves_nothing",
    ({ accepted }) =>
      void accepted.splice(
        accepted.findIndex(({ at: when }) => when === KILLED_AT + 2000),
        1,
      ),
  ],
];

describe("a fault planted in it is reported, and nothing else:", () => {
  test.each(planted)("%s", (_, kind, plant) => {
    const story = goodStory();
    plant(story);
    const kinds = new Set(judge(story.history).violations.map((violation) => violation.kind));
    expect([...kinds]).toEqual([kind]);
  });
});

describe("what is excused:", () => {
  test("a ping that is exempt by its id, and only that", () => {
    const story = goodStory();
    const [first, second] = story.accepted.splice(4, 2);
    story.exempt.set(first?.id ?? "", "flushed");
    const { total, violations } = judge(story.history);
    expect(total).toMatchObject({ owed: 60, lost: 1, exempt: 1 });
    expect(violations.map(({ kind, what }) => [kind, what])).toEqual([["lost", second?.id]]);
  });

  test("a ping that nobody took responsibility for", () => {
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

  test("as long a wait as the fault asked for", () => {
    const story = goodStory();
    for (const ping of story.accepted) {
      if (ping.at > KILLED_AT && ping.at < KILLED_AT + 6000) ping.at = KILLED_AT + 6000;
    }
    at(story.episodes, 0).allowanceMs = 2000;
    expect(judge(story.history).violations).toEqual([]);
  });

  test("a crowd at a door that noticed late: it need not have come within the second", () => {
    const story = goodStory();
    const { latest } = at(story.arrivals, 9);
    // Whatever came in these 1.2 s was noticed at their end.
    const crowd = Array.from({ length: 2 * RATE }, () => ({ earliest: latest + 10, latest: latest + 1210 }));
    story.arrivals.splice(10, 1, ...crowd);
    expect(judge(story.history).violations).toEqual([]);
  });
});
