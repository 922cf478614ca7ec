/** Drives vehicles through the made-up city and checks that both could exist. */

import { describe, expect, test } from "vitest";
import { createCity, lengthM } from "../../sandbox/city.ts";
import { createRandom } from "../../sandbox/random.ts";
import { createVehicle, TICK_MS } from "../../sandbox/vehicle.ts";

const START_MS = Date.parse("2026-11-20T15:00:00.000Z");
const MPS_PER_MPH = 0.44704;

const city = createCity(createRandom("a city"));

describe("the city", () => {
  test("is the same for the same seed, and another for another", () => {
    const same = createCity(createRandom("a city"));
    const other = createCity(createRandom("another"));
    expect(same.avenues).toEqual(city.avenues);
    expect(other.avenues).not.toEqual(city.avenues);
  });

  test("has blocks, a big road about every mile, and highways with tunnels", () => {
    for (const roads of [city.avenues, city.streets]) {
      const gaps = roads.slice(1).map((road, index) => road.offsetM - (roads[index]?.offsetM ?? Number.NaN));
      expect(Math.min(...gaps)).toBeGreaterThan(150);
      expect(Math.max(...gaps)).toBeLessThan(250);
      const big = roads.filter((road) => road.rank === "arterial" || road.rank === "highway");
      const miles = big.slice(1).map((road, index) => road.offsetM - (big[index]?.offsetM ?? Number.NaN));
      for (const mile of miles) expect(Math.abs(mile - 1609)).toBeLessThan(250);
      const highways = roads.filter((road) => road.rank === "highway");
      expect(highways.length).toBeGreaterThan(0);
      for (const highway of highways) expect(highway.tunnels.length).toBeGreaterThan(0);
    }
  });

  test("lies around Dallas, and `locate` undoes `place`", () => {
    for (const point of [
      { xM: 0, yM: 0 },
      { xM: -13_000, yM: 10_000 },
      { xM: 13_000, yM: -10_000 },
    ]) {
      const { latitude, longitude } = city.place(point);
      expect(Math.abs(latitude - 32.78)).toBeLessThan(0.2);
      expect(Math.abs(longitude + 96.8)).toBeLessThan(0.2);
      const back = city.locate(latitude, longitude);
      expect(back.xM).toBeCloseTo(point.xM, 3);
      expect(back.yM).toBeCloseTo(point.yM, 3);
    }
  });

  test("routes join end to end, from the first crossing to the last, and prefer big roads on long ways", () => {
    const random = createRandom("routes");
    for (let count = 0; count < 200; count += 1) {
      const crossing = () => ({
        avenue: random.integer(0, city.avenues.length - 1),
        street: random.integer(0, city.streets.length - 1),
      });
      const [from, to] = [crossing(), crossing()];
      if (from.avenue === to.avenue && from.street === to.street) continue;
      const legs = city.route(from, to);
      expect(legs[0]?.from).toEqual(city.pointAt(from));
      expect(legs.at(-1)?.to).toEqual(city.pointAt(to));
      for (const [index, leg] of legs.entries()) {
        expect(lengthM(leg)).toBeGreaterThan(0);
        if (index > 0) expect(leg.from).toEqual(legs[index - 1]?.to);
      }
      const wholeM = legs.reduce((sum, leg) => sum + lengthM(leg), 0);
      const localM = legs
        .filter((leg) => leg.road.rank === "local")
        .reduce((sum, leg) => sum + lengthM(leg), 0);
      if (wholeM > 10_000) expect(localM / wholeM).toBeLessThan(0.5);
    }
  });
});

describe("a vehicle", () => {
  const drive = (seed: string, minutes: number) => {
    const vehicle = createVehicle({ city, random: createRandom(seed), startMs: START_MS });
    const states = [vehicle.state()];
    for (let at = START_MS + TICK_MS; at <= START_MS + minutes * 60_000; at += TICK_MS) {
      vehicle.advance(at);
      states.push(vehicle.state());
    }
    return states;
  };

  test("is the same for the same seed, however its time is cut", () => {
    const fine = drive("van", 20).at(-1);
    const vehicle = createVehicle({ city, random: createRandom("van"), startMs: START_MS });
    vehicle.advance(START_MS + 20 * 60_000);
    expect(vehicle.state()).toEqual(fine);
    expect(drive("other van", 20).at(-1)).not.toEqual(fine);
  });

  test("moves as fast as it says, within the law of physics and about that of the road, on the grid", () => {
    const worst = { stepM: 0, odometerM: 0, speedMps: 0, changeMps2: 0, offRoadM: 0 };
    const all = Array.from({ length: 25 }, (_, number) => drive(`van ${number}`, 20));
    const seconds = TICK_MS / 1000;
    for (const states of all) {
      for (const [index, now] of states.entries()) {
        const before = states[index - 1];
        if (before === undefined) continue;
        const here = city.locate(now.latitude, now.longitude);
        const there = city.locate(before.latitude, before.longitude);
        const movedM = Math.abs(here.xM - there.xM) + Math.abs(here.yM - there.yM);
        const toRoadM = [
          ...city.avenues.map((road) => Math.abs(road.offsetM - here.xM)),
          ...city.streets.map((road) => Math.abs(road.offsetM - here.yM)),
        ];
        worst.stepM = Math.max(worst.stepM, Math.abs(movedM - now.speedMps * seconds));
        worst.odometerM = Math.max(worst.odometerM, Math.abs(now.odometerM - before.odometerM - movedM));
        worst.speedMps = Math.max(worst.speedMps, now.speedMps);
        worst.changeMps2 = Math.max(worst.changeMps2, Math.abs(now.speedMps - before.speedMps) / seconds);
        worst.offRoadM = Math.max(worst.offRoadM, Math.min(...toRoadM));
      }
    }
    // Half a metre, because the last bit of the way to a stop is taken at once.
    expect(worst.stepM).toBeLessThan(0.6);
    expect(worst.odometerM).toBeLessThan(0.01);
    expect(worst.speedMps).toBeLessThanOrEqual(65 * 1.08 * MPS_PER_MPH);
    expect(worst.changeMps2).toBeLessThan(4);
    expect(worst.offRoadM).toBeLessThan(0.01);
    // Both happen: a fleet that stands, or never stops, would test nothing.
    const moving = all.flat().filter((state) => state.speedMps > 0).length / all.flat().length;
    expect(moving).toBeGreaterThan(0.2);
    expect(moving).toBeLessThan(0.8);
  });

  test("heads where it moves", () => {
    const states = Array.from({ length: 8 }, (_, number) => drive(`heading ${number}`, 15)).flat();
    let compared = 0;
    for (const [index, now] of states.entries()) {
      const before = states[index - 1];
      if (before === undefined || before.at + TICK_MS !== now.at || before.headingDeg !== now.headingDeg)
        continue;
      const north = now.latitude - before.latitude;
      const east = (now.longitude - before.longitude) * Math.cos((now.latitude * Math.PI) / 180);
      if (now.speedMps < 5) continue;
      const moved = (Math.atan2(east, north) * 180) / Math.PI;
      const off = Math.abs(((moved - now.headingDeg + 540) % 360) - 180);
      expect(off).toBeLessThan(0.5);
      compared += 1;
    }
    expect(compared).toBeGreaterThan(500);
  });
});
