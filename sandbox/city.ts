/** A made-up metro area in the shape of Dallas: a street grid with arterials a mile apart, highways and tunnels. */

import type { Random } from "./random.ts";

export type Rank = "local" | "collector" | "arterial" | "highway";

/** Miles per hour as posted on the signs of such roads. */
const LIMIT_MPH: Record<Rank, number> = { local: 25, collector: 35, arterial: 45, highway: 65 };
const MPS_PER_MPH = 0.44704;

/** A straight road through the whole city: avenues run along y, streets along x. */
export interface Road {
  /** Its place on the other axis, metres from the city's middle. */
  offsetM: number;
  rank: Rank;
  limitMps: number;
  /** Stretches along it without a view of the sky, metres from the middle. */
  tunnels: readonly (readonly [fromM: number, toM: number])[];
}

/** Metres from the city's middle, along the grid. */
export interface Point {
  xM: number;
  yM: number;
}

/** A crossing: indexes into avenues and streets. */
export interface Crossing {
  avenue: number;
  street: number;
}

/** A straight drive along one road. */
export interface Leg {
  road: Road;
  along: "x" | "y";
  from: Point;
  to: Point;
}

export interface City {
  /** Ordered by offset, west to east. */
  avenues: readonly Road[];
  /** Ordered by offset, south to north. */
  streets: readonly Road[];
  pointAt(crossing: Crossing): Point;
  /** WGS84 degrees. */
  place(point: Point): { latitude: number; longitude: number };
  /** The inverse of `place`. */
  locate(latitude: number, longitude: number): Point;
  headingDeg(leg: Leg): number;
  /** The quickest of the plain ways: a driver takes the big roads and turns seldom. */
  route(from: Crossing, to: Crossing): Leg[];
  /** Roads that a leg crosses on its way, ends excluded, in driving order. */
  crossed(leg: Leg): Road[];
}

/** Downtown Dallas. */
const MIDDLE = { latitude: 32.7831, longitude: -96.8067 };
const WIDTH_M = 26_000;
const HEIGHT_M = 20_000;
/** A block; eight of them make about a mile, the spacing of section-line roads in the American south-west. */
const BLOCK_M = [180, 222] as const;
const BLOCKS_PER_MILE = 8;
/** Length of one degree of latitude on a sphere of the earth's mean radius. */
const M_PER_DEG = 111_195;
/** What a turn costs a driver in the choice of the way. */
const TURN_COST_S = 9;

export function createCity(random: Random): City {
  const avenues = roads(random.fork("avenues"), WIDTH_M, HEIGHT_M);
  const streets = roads(random.fork("streets"), HEIGHT_M, WIDTH_M);
  // Real grids are seldom aligned with north; headings should not all be multiples of 90.
  const turnedRad = random.fork("grid").between(3, 14) * (Math.PI / 180);
  const mPerDegLon = M_PER_DEG * Math.cos((MIDDLE.latitude * Math.PI) / 180);
  const [cos, sin] = [Math.cos(turnedRad), Math.sin(turnedRad)];

  const offset = (list: readonly Road[], index: number) => list[index]?.offsetM ?? 0;
  const pointAt = ({ avenue, street }: Crossing): Point => ({
    xM: offset(avenues, avenue),
    yM: offset(streets, street),
  });

  function place({ xM, yM }: Point) {
    const eastM = xM * cos + yM * sin;
    const northM = -xM * sin + yM * cos;
    return {
      latitude: MIDDLE.latitude + northM / M_PER_DEG,
      longitude: MIDDLE.longitude + eastM / mPerDegLon,
    };
  }

  function locate(latitude: number, longitude: number): Point {
    const eastM = (longitude - MIDDLE.longitude) * mPerDegLon;
    const northM = (latitude - MIDDLE.latitude) * M_PER_DEG;
    return { xM: eastM * cos - northM * sin, yM: eastM * sin + northM * cos };
  }

  function headingDeg({ along, from, to }: Leg): number {
    const base = along === "y" ? 0 : 90;
    const ahead = along === "y" ? to.yM > from.yM : to.xM > from.xM;
    return (base + (ahead ? 0 : 180) + (turnedRad * 180) / Math.PI) % 360;
  }

  function legsThrough(crossings: readonly Crossing[]): Leg[] {
    const legs: Leg[] = [];
    for (const [index, here] of crossings.entries()) {
      const next = crossings[index + 1];
      if (next === undefined || (next.avenue === here.avenue && next.street === here.street)) continue;
      const along = next.avenue === here.avenue ? "y" : "x";
      const road = along === "y" ? avenues[here.avenue] : streets[here.street];
      if (road) legs.push({ road, along, from: pointAt(here), to: pointAt(next) });
    }
    return legs;
  }

  function route(from: Crossing, to: Crossing): Leg[] {
    const viaStreets = [from.street, to.street, ...bigRoadsNear(streets, from.street, to.street)];
    const viaAvenues = [from.avenue, to.avenue, ...bigRoadsNear(avenues, from.avenue, to.avenue)];
    const ways = viaStreets.flatMap((street) =>
      viaAvenues.map((avenue) =>
        legsThrough([
          from,
          { avenue: from.avenue, street },
          { avenue, street },
          { avenue, street: to.street },
          to,
        ]),
      ),
    );
    const [first = [], ...others] = ways;
    return others.reduce((best, way) => (costS(way) < costS(best) ? way : best), first);
  }

  function crossed({ along, from, to }: Leg): Road[] {
    const [start, end] = along === "y" ? [from.yM, to.yM] : [from.xM, to.xM];
    const others = along === "y" ? streets : avenues;
    const between = others.filter(
      ({ offsetM }) => offsetM > Math.min(start, end) && offsetM < Math.max(start, end),
    );
    return start < end ? between : between.reverse();
  }

  return { avenues, streets, pointAt, place, locate, headingDeg, route, crossed };
}

export function lengthM({ from, to }: Leg): number {
  return Math.abs(to.xM - from.xM) + Math.abs(to.yM - from.yM);
}

/** Whether the sky is hidden at a point of a road. */
export function inTunnel(road: Road, alongM: number): boolean {
  return road.tunnels.some(([fromM, toM]) => alongM >= fromM && alongM <= toM);
}

function costS(legs: readonly Leg[]): number {
  return legs.reduce((sum, leg) => sum + lengthM(leg) / leg.road.limitMps + TURN_COST_S, 0);
}

function roads(random: Random, acrossM: number, alongM: number): Road[] {
  const list: Road[] = [];
  let offsetM = -acrossM / 2;
  for (let index = 0; offsetM <= acrossM / 2; index += 1) {
    const rank = rankOf(index);
    list.push({
      offsetM,
      rank,
      limitMps: LIMIT_MPH[rank] * MPS_PER_MPH,
      tunnels: tunnels(random, rank, alongM),
    });
    offsetM += random.between(...BLOCK_M);
  }
  return list;
}

function rankOf(index: number): Rank {
  const mile = index / BLOCKS_PER_MILE;
  if (Number.isInteger(mile)) return mile % 5 === 3 ? "highway" : "arterial";
  return Number.isInteger(mile * 2) ? "collector" : "local";
}

/** Highways dive under the middle of the city and under one more place; a few arterials pass under something long. */
function tunnels(random: Random, rank: Rank, alongM: number): [number, number][] {
  const dig = (middleM: number, long: number): [number, number] => [middleM - long / 2, middleM + long / 2];
  if (rank === "highway") {
    return [
      dig(random.between(-1500, 1500), random.between(700, 1400)),
      dig(random.between(0.2, 0.4) * alongM, random.between(300, 700)),
    ];
  }
  return rank === "arterial" && random.chance(0.25)
    ? [dig(random.between(-0.4, 0.4) * alongM, random.between(200, 450))]
    : [];
}

/** Indexes of the arterials and highways nearest to each of two roads, on both sides. */
function bigRoadsNear(list: readonly Road[], ...indexes: number[]): number[] {
  const big = [...list.keys()].filter(
    (index) => list[index]?.rank === "arterial" || list[index]?.rank === "highway",
  );
  return indexes.flatMap((near) => [
    ...big.filter((index) => index <= near).slice(-2),
    ...big.filter((index) => index >= near).slice(0, 2),
  ]);
}
