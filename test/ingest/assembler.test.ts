/** Positions in several messages: what is put together, what never is, and that nothing is lost on the way. */

import { describe, expect, it } from "vitest";
import { fragment } from "../../src/adapters/kit/fragment.ts";
import { type Assembler, createAssembler } from "../../src/ingest/assembler.ts";
import { AT_RECEIPT, type RawReading, validate } from "../../src/reading.ts";

type Said = Partial<Parameters<typeof fragment>[0]>;

const T0 = Date.UTC(2026, 9, 26, 14, 30);
const HEARD = { deviceId: "car", fixTime: AT_RECEIPT, path: "" } as const;

/** Offers parts of one source, each in a message of its own. */
function listening(assembler: Assembler = createAssembler()) {
  const offer = (said: Said, afterMs = 0, { source = "s", retained = false } = {}): RawReading[] =>
    assembler.assemble(source, [fragment({ ...HEARD, ...said })], { receivedAt: T0 + afterMs, retained });
  return { assembler, offer };
}

function verdictOf(rawReading: RawReading | undefined, retained = false): string {
  if (!rawReading) return "nothing";
  const verdict = validate(rawReading, {
    receivedAt: T0,
    retained,
    maxAgeMs: Infinity,
    maxAheadMs: Infinity,
  });
  return verdict.kind === "reading" ? "reading" : verdict.rejection.reason;
}

const verdicts = (rawReadings: readonly RawReading[]) =>
  rawReadings.map((rawReading) => verdictOf(rawReading));

describe("parts of one position", () => {
  it("are joined, whichever coordinate comes first", () => {
    const parts: Said[] = [{ speedMps: 10 }, { headingDeg: 45 }, { latitude: 51.5 }, { longitude: -0.1 }];
    const orders = permutations(parts).filter((order) =>
      order.slice(2).every((part) => "latitude" in part || "longitude" in part),
    );
    expect(orders).toHaveLength(4);
    for (const order of orders) {
      const { offer } = listening();
      const given = order.map((part, index) => offer(part, index));
      expect(given.slice(0, 3)).toEqual([[], [], []]);
      expect(given[3]).toEqual([
        {
          path: "",
          deviceId: "car",
          fixTime: AT_RECEIPT,
          latitude: 51.5,
          longitude: -0.1,
          speedMps: 10,
          headingDeg: 45,
          noFix: false,
        },
      ]);
    }
  });

  it("are joined in any order into at most one place, and always the right one", () => {
    const parts: Said[] = [{ speedMps: 10 }, { headingDeg: 45 }, { latitude: 51.5 }, { longitude: -0.1 }];
    for (const order of permutations(parts)) {
      const { offer } = listening();
      const given = order.flatMap((part, index) => offer(part, index));
      expect(given).toHaveLength(1);
      expect(given[0]).toMatchObject({ latitude: 51.5, longitude: -0.1 });
    }
  });

  it("may come in one message, and take the speed that came before", () => {
    const { offer } = listening();
    offer({ speedMps: 3 });
    expect(offer({ latitude: 1, longitude: 2 }, 5)).toMatchObject([
      { latitude: 1, longitude: 2, speedMps: 3 },
    ]);
  });

  it("of which one is zero are as good as others", () => {
    const { offer } = listening();
    offer({ latitude: 0 });
    expect(offer({ longitude: 9.5 })).toMatchObject([{ latitude: 0, longitude: 9.5 }]);
  });

  it("are used once", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    expect(verdicts(offer({ longitude: 2 }))).toEqual(["reading"]);
    expect(offer({ longitude: 2.1 }, 10)).toEqual([]);
    expect(offer({ latitude: 1.1 }, 20)).toMatchObject([{ latitude: 1.1, longitude: 2.1 }]);
  });

  it("stand beside whole candidates, which pass as they are", () => {
    const { assembler, offer } = listening();
    offer({ latitude: 1 });
    const whole: RawReading = {
      ...HEARD,
      ...{ deviceId: "other", latitude: 5, longitude: 6, speedMps: null, headingDeg: null },
    };
    const message = { receivedAt: T0 + 1, retained: false };
    const given = assembler.assemble("s", [whole, fragment({ ...HEARD, longitude: 2 })], message);
    expect(given[0]).toBe(whole);
    expect(given[1]).toMatchObject({ latitude: 1, longitude: 2 });
  });
});

describe("the window", () => {
  it("is five seconds between coordinates", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    expect(verdicts(offer({ longitude: 2 }, 5000))).toEqual(["reading"]);
  });

  it("leaves what came before it alone, rejected by name", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    const given = offer({ longitude: 2 }, 5001);
    expect(verdicts(given)).toEqual(["incomplete"]);
    expect(given).toMatchObject([{ latitude: 1, longitude: null }]);
    // The later half still waits for its own.
    expect(offer({ latitude: 1.5 }, 5002)).toMatchObject([{ latitude: 1.5, longitude: 2 }]);
  });

  it("is five seconds for speed and heading, which may serve several places", () => {
    const { offer } = listening();
    offer({ speedMps: 10 });
    offer({ headingDeg: 45 }, 1);
    const placed = (afterMs: number) => offer({ latitude: 1, longitude: 2 }, afterMs)[0];
    expect(placed(4999)).toMatchObject({ speedMps: 10, headingDeg: 45 });
    expect(placed(5000)).toMatchObject({ speedMps: 10, headingDeg: 45 });
    expect(placed(5001)).toMatchObject({ speedMps: null, headingDeg: 45 });
    expect(placed(5002)).toMatchObject({ speedMps: null, headingDeg: null });
  });

  it("ends at once for what the vendor says it does not know now", () => {
    const { offer } = listening();
    const placed = (afterMs: number) => offer({ latitude: 1, longitude: 2 }, afterMs)[0];
    offer({ speedMps: 10 });
    offer({ headingDeg: 45 }, 1);
    offer({ speedMps: null }, 2);
    expect(placed(3)).toMatchObject({ speedMps: null, headingDeg: 45 });
    expect(placed(4)).not.toHaveProperty("unknown");
    offer({ speedMps: 11 }, 5);
    offer({ headingDeg: null }, 6);
    expect(placed(7)).toMatchObject({ speedMps: 11, headingDeg: null });
    // Also where the place itself comes with it.
    expect(offer({ latitude: 1, longitude: 2, speedMps: null }, 8)).toMatchObject([{ speedMps: null }]);
  });

  it("also holds for a clock that was set back", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    expect(verdicts(offer({ longitude: 2 }, -5001))).toEqual(["incomplete"]);
  });
});

describe("halves of different positions", () => {
  it("are never joined: a second latitude gives the first up", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    const given = offer({ latitude: 1.1 }, 1000);
    expect(given).toMatchObject([{ latitude: 1, longitude: null }]);
    expect(verdicts(given)).toEqual(["incomplete"]);
    expect(offer({ longitude: 2.1 }, 1001)).toMatchObject([{ latitude: 1.1, longitude: 2.1 }]);
  });

  it("are never joined when each has a time and the times differ", () => {
    const { offer } = listening();
    offer({ latitude: 1, fixTime: T0 - 2000 });
    const given = offer({ longitude: 2, fixTime: T0 - 1000 }, 1);
    expect(given).toMatchObject([{ latitude: 1, longitude: null, fixTime: T0 - 2000 }]);
    expect(verdicts(given)).toEqual(["incomplete"]);
    expect(offer({ latitude: 1.1, fixTime: T0 - 1000 }, 2)).toMatchObject([
      { latitude: 1.1, longitude: 2, fixTime: T0 - 1000 },
    ]);
  });

  it("are never joined when only one has a time, or its time cannot be read", () => {
    for (const [first, second] of [
      [AT_RECEIPT, T0],
      [T0, AT_RECEIPT],
      [Number.NaN, Number.NaN],
      [null, T0],
    ] as const) {
      const { offer } = listening();
      offer({ latitude: 1, fixTime: first });
      expect(verdicts(offer({ longitude: 2, fixTime: second }, 1))).toEqual(["incomplete"]);
    }
  });

  it("are not dated by their receipt where the vendor's parts have times and these two have none", () => {
    const { offer } = listening();
    offer({ latitude: 1, fixTime: null });
    expect(verdicts(offer({ longitude: 2, fixTime: null }, 1))).toEqual(["no_time"]);
  });

  it("are given up by a whole place that comes between them", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    expect(verdicts(offer({ latitude: 5, longitude: 6 }, 1))).toEqual(["incomplete", "reading"]);
    expect(offer({ longitude: 2 }, 2)).toEqual([]);
  });

  it("take no speed of another time where both have one", () => {
    const { offer } = listening();
    offer({ speedMps: 10, fixTime: T0 - 3000 });
    offer({ headingDeg: 45, fixTime: AT_RECEIPT }, 1);
    expect(offer({ latitude: 1, longitude: 2, fixTime: T0 }, 2)).toMatchObject([
      { speedMps: null, headingDeg: 45 },
    ]);
  });

  it("of two devices, and of one name at two sources, are never joined", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    expect(offer({ longitude: 20, deviceId: "bus" }, 1)).toEqual([]);
    expect(offer({ longitude: 30 }, 2, { source: "t" })).toEqual([]);
    expect(offer({ latitude: 10, deviceId: "bus" }, 3)).toMatchObject([
      { deviceId: "bus", latitude: 10, longitude: 20 },
    ]);
    expect(offer({ latitude: 3 }, 4, { source: "t" })).toMatchObject([{ latitude: 3, longitude: 30 }]);
    expect(offer({ longitude: 2 }, 5)).toMatchObject([{ deviceId: "car", latitude: 1, longitude: 2 }]);
  });

  it("are not mixed up by names that run into each other", () => {
    const { offer } = listening();
    offer({ latitude: 1, deviceId: "b:c" }, 0, { source: "a" });
    expect(offer({ longitude: 2, deviceId: "c" }, 0, { source: "a:b" })).toEqual([]);
  });
});

describe("a lost lock", () => {
  it("turns down every place until it is there again", () => {
    const { offer } = listening();
    expect(offer({ noFix: true })).toEqual([]);
    const place = { latitude: 1, longitude: 2 };
    // Long after the window: devices tell it once.
    expect(verdicts(offer(place, 60_000))).toEqual(["no_fix"]);
    expect(verdicts(offer(place, 3_600_000))).toEqual(["no_fix"]);
    offer({ noFix: false }, 3_600_001);
    expect(verdicts(offer(place, 3_600_002))).toEqual(["reading"]);
  });

  it("turns down a place half of which came before", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    offer({ noFix: true }, 1);
    expect(verdicts(offer({ longitude: 2 }, 2))).toEqual(["no_fix"]);
  });

  it("is of one device", () => {
    const { offer } = listening();
    offer({ noFix: true });
    expect(verdicts(offer({ deviceId: "bus", latitude: 1, longitude: 2 }))).toEqual(["reading"]);
  });

  it("counts when the broker kept it, since it is told only when it changes", () => {
    const { offer } = listening();
    const place = { latitude: 1, longitude: 2 };
    offer({ noFix: true }, 0, { retained: true });
    expect(verdicts(offer(place, 1))).toEqual(["no_fix"]);
    offer({ noFix: false }, 2, { retained: true });
    expect(verdicts(offer(place, 3))).toEqual(["reading"]);
  });
});

describe("what a broker retains", () => {
  it("is never part of a place if it has no time", () => {
    const { offer } = listening();
    const [given, ...more] = offer({ latitude: 1 }, 0, { retained: true });
    expect(more).toEqual([]);
    expect(verdictOf(given, true)).toBe("retained_without_time");
    expect(offer({ longitude: 2 }, 1)).toEqual([]);
    expect(offer({ latitude: 1.1 }, 2)).toMatchObject([{ latitude: 1.1, longitude: 2 }]);
  });

  it("is no place either when whole, and gives no speed", () => {
    const { offer } = listening();
    expect(offer({ speedMps: 30 }, 0, { retained: true })).toEqual([]);
    expect(verdictOf(offer({ latitude: 1, longitude: 2 }, 1, { retained: true })[0], true)).toBe(
      "retained_without_time",
    );
    expect(offer({ latitude: 1, longitude: 2 }, 2)).toMatchObject([{ speedMps: null }]);
  });

  it("is joined by its own time where it has one", () => {
    const { offer } = listening();
    offer({ latitude: 1, fixTime: T0 - 1000 }, 0, { retained: true });
    const given = offer({ longitude: 2, fixTime: T0 - 1000 }, 1, { retained: true });
    expect(given).toMatchObject([{ latitude: 1, longitude: 2, fixTime: T0 - 1000 }]);
    expect(verdictOf(given[0], true)).toBe("reading");
  });
});

describe("nothing is lost in silence", () => {
  it("when a part has no device", () => {
    for (const deviceId of [null, ""]) {
      const { offer } = listening();
      expect(verdicts(offer({ deviceId, latitude: 1 }))).toEqual(["no_device"]);
      expect(offer({ deviceId, speedMps: 1 })).toEqual([]);
    }
  });

  it("when a coordinate is empty or cannot be read", () => {
    const { offer } = listening();
    offer({ latitude: 1 });
    expect(verdicts(offer({ longitude: null }, 1))).toEqual(["no_fix"]);
    expect(verdicts(offer({ longitude: Number.NaN }, 2))).toEqual(["bad_latitude"]);
    expect(verdicts(offer({ longitude: 2 }, 3))).toEqual(["reading"]);
  });

  it("when many halves come and few wholes: every coordinate is in exactly one candidate, or waits", () => {
    const { offer } = listening();
    const given: RawReading[] = [];
    // A fixed walk that meets every order, gap and time: 7, 11 and 13 have no common factor.
    for (let step = 0; step < 2000; step++) {
      const axis = (step * 7) % 11 < 5 ? "latitude" : "longitude";
      const fixTime = step % 13 < 4 ? T0 + Math.floor(step / 3) : AT_RECEIPT;
      given.push(...offer({ [axis]: 10 + step / 1000, fixTime }, step * 800));
    }
    const halves = given.flatMap(({ latitude, longitude }) =>
      [latitude, longitude].filter((value) => value !== null),
    );
    expect(new Set(halves).size).toBe(halves.length);
    // At most one of each axis still waits.
    expect(halves.length).toBeGreaterThanOrEqual(1998);
    expect(verdicts(given)).toContain("reading");
    for (const { fragment, latitude, longitude } of given) {
      if (!fragment) expect(Math.abs(Number(latitude) - Number(longitude))).toBeLessThanOrEqual(0.0065);
    }
  });
});

describe("a message offered again", () => {
  it("gives the same candidates, though its parts were used up", () => {
    const { assembler, offer } = listening();
    offer({ latitude: 1 });
    const message = { receivedAt: T0 + 1, retained: false };
    const again = () => assembler.assemble("s", [fragment({ ...HEARD, longitude: 2 })], message);
    const first = again();
    expect(verdicts(first)).toEqual(["reading"]);
    expect(again()).toEqual(first);
    // Also once others came in between.
    offer({ latitude: 5 }, 2);
    expect(again()).toEqual(first);
  });

  it("does not take its own part for a second one", () => {
    const { assembler, offer } = listening();
    const message = { receivedAt: T0, retained: false };
    for (let times = 0; times < 3; times++)
      expect(assembler.assemble("s", [fragment({ ...HEARD, latitude: 1 })], message)).toEqual([]);
    expect(verdicts(offer({ longitude: 2 }, 1))).toEqual(["reading"]);
  });
});

describe("memory", () => {
  it("is bounded: the device longest unheard of begins anew", () => {
    const { offer } = listening();
    offer({ latitude: 1, deviceId: "first" });
    offer({ latitude: 1, deviceId: "second" });
    // Heard of again, so that it is not the oldest.
    offer({ speedMps: 1, deviceId: "first" }, 1);
    for (let device = 0; device < 19_999; device++) offer({ speedMps: 1, deviceId: `d${device}` }, 2);
    expect(verdicts(offer({ longitude: 2, deviceId: "first" }, 3))).toEqual(["reading"]);
    expect(offer({ longitude: 2, deviceId: "second" }, 3)).toEqual([]);
  });
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, index) =>
    permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]),
  );
}

describe("a message that could not be stored", () => {
  const CAR: Said = { latitude: 51.5 };
  function outage() {
    const assembler = createAssembler();
    const hear = (said: Said, afterMs: number) => {
      const message = { receivedAt: T0 + afterMs, retained: false };
      return { message, given: assembler.assemble("s", [fragment({ ...HEARD, ...said })], message) };
    };
    const turnedAway = (said: Said, afterMs: number) => {
      const heard = hear(said, afterMs);
      assembler.deferred("s", heard.message);
      return heard.given;
    };
    const taken = (said: Said, afterMs: number) => {
      const heard = hear(said, afterMs);
      assembler.stored("s", heard.message);
      return heard.given;
    };
    return { turnedAway, taken };
  }

  it("gives the same position when its sender comes with it again, and then no more", () => {
    const { turnedAway, taken } = outage();
    taken(CAR, 0);
    const completed = turnedAway({ longitude: -0.1 }, 100);
    expect(verdicts(completed)).toEqual(["reading"]);
    expect(turnedAway({ longitude: -0.1 }, 8000)).toEqual(completed);
    expect(taken({ longitude: -0.1 }, 20_000)).toEqual(completed);
    expect(taken({ longitude: -0.1 }, 20_100)).toEqual([]);
  });

  it("leaves no part behind that a later one could be joined with", () => {
    const { turnedAway, taken } = outage();
    turnedAway(CAR, 0);
    turnedAway({ longitude: -0.1 }, 100);
    expect(taken(CAR, 8000)).toEqual([]);
    expect(verdicts(taken({ longitude: -0.1 }, 8100))).toEqual(["reading"]);
    expect(taken({ longitude: -0.2 }, 8200)).toEqual([]);
    expect(taken({ latitude: 51.6 }, 8300)).toMatchObject([{ latitude: 51.6, longitude: -0.2 }]);
  });

  it("is as fresh as its last coming where its partner is still to come", () => {
    const { turnedAway, taken } = outage();
    turnedAway(CAR, 0);
    expect(taken(CAR, 10_000)).toEqual([]);
    expect(verdicts(taken({ longitude: -0.1 }, 10_100))).toEqual(["reading"]);
  });

  it("is a new one after half a minute", () => {
    const { turnedAway, taken } = outage();
    taken(CAR, 0);
    turnedAway({ longitude: -0.1 }, 100);
    expect(taken({ longitude: -0.1 }, 30_101)).toEqual([]);
  });
});
