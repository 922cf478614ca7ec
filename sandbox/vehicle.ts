/** One service vehicle on the move: it drives to jobs along the grid, brakes for lights and turns, waits and parks. */

import { type City, type Crossing, inTunnel, type Leg, lengthM } from "./city.ts";
import type { Random } from "./random.ts";

/** The truth about a vehicle at one instant; its receiver measures it with errors. */
export interface VehicleState {
  /** UTC milliseconds since 1970. */
  at: number;
  latitude: number;
  longitude: number;
  speedMps: number;
  headingDeg: number;
  odometerM: number;
  ignition: boolean;
  /** In a tunnel. */
  skyHidden: boolean;
}

export interface Vehicle {
  state(): VehicleState;
  /** Moves on to an instant, in whole ticks; the state's own time says how far. */
  advance(toMs: number): void;
}

export const TICK_MS = 500;
const TICK_S = TICK_MS / 1000;

/** A light van pulls away and brakes so, in m/s²; harsh braking begins at about 3. */
const ACCELERATION_MPS2 = 1.6;
const BRAKING_MPS2 = 2.2;
/** Ten miles an hour round a corner. */
const TURN_MPS = 4.5;
/** A job is at most this far away in blocks, which is two to three miles: technicians work an area. */
const JOB_BLOCKS = 22;
/** Vehicles have been under way for up to this long at the start, so that they are spread out. */
const WARM_UP_MS = 900_000;

type Task =
  | { kind: "drive"; leg: Leg; exitMps: number }
  | { kind: "wait"; untilMs: number | null; forMs: number; ignition: boolean };

interface VehicleOptions {
  city: City;
  random: Random;
  startMs: number;
}

export function createVehicle({ city, random, startMs }: VehicleOptions): Vehicle {
  /** Some keep below the limit, some a little above. */
  const habit = random.between(0.88, 1.08);
  let at = startMs - Math.round((random.between(0.2, 1) * WARM_UP_MS) / TICK_MS) * TICK_MS;
  let corner: Crossing = {
    avenue: random.integer(0, city.avenues.length - 1),
    street: random.integer(0, city.streets.length - 1),
  };
  let tasks: Task[] = [];
  /** Metres driven of the first task's leg. */
  let drivenM = 0;
  let speedMps = 0;
  let odometerM = random.integer(5_000, 180_000) * 1000;
  let heading = 0;
  let place = { ...city.place(city.pointAt(corner)), skyHidden: false };

  function planJob(): void {
    const near = (index: number, last: number) =>
      Math.min(last, Math.max(0, index + random.integer(-JOB_BLOCKS, JOB_BLOCKS)));
    const job: Crossing = {
      avenue: near(corner.avenue, city.avenues.length - 1),
      street: near(corner.street, city.streets.length - 1),
    };
    tasks = city.route(corner, job).flatMap((leg) => drive(leg));
    // The last stretch ends at a kerb, not round a corner.
    const last = tasks.at(-1);
    if (last?.kind === "drive") last.exitMps = 0;
    // Most jobs are short errands, so that most vehicles move while a user watches.
    const parkedMs = random.chance(0.7)
      ? random.between(60_000, 300_000)
      : random.between(600_000, 2_400_000);
    tasks.push({ kind: "wait", untilMs: null, forMs: parkedMs, ignition: false });
    corner = job;
  }

  /** A leg, cut where a light is red. */
  function drive(leg: Leg): Task[] {
    const lights =
      leg.road.rank === "highway"
        ? []
        : city.crossed(leg).filter((road) => road.rank === "arterial" || road.rank === "collector");
    const red = lights.filter(() => random.chance(0.18));
    const cut: Task[] = [];
    let from = leg.from;
    for (const road of red) {
      const to = leg.along === "y" ? { xM: from.xM, yM: road.offsetM } : { xM: road.offsetM, yM: from.yM };
      cut.push({ kind: "drive", leg: { ...leg, from, to }, exitMps: 0 });
      cut.push({ kind: "wait", untilMs: null, forMs: random.between(6_000, 45_000), ignition: true });
      from = to;
    }
    cut.push({ kind: "drive", leg: { ...leg, from }, exitMps: TURN_MPS });
    return cut;
  }

  function tick(): void {
    at += TICK_MS;
    if (tasks.length === 0) planJob();
    const task = tasks[0];
    if (task?.kind === "drive") moveAlong(task);
    else if (task?.kind === "wait") wait(task);
  }

  function wait(task: Extract<Task, { kind: "wait" }>): void {
    speedMps = 0;
    task.untilMs ??= at + task.forMs;
    // A customer's yard may lie above a tunnel, and nobody parks in it.
    if (!task.ignition) place = { ...place, skyHidden: false };
    if (at >= task.untilMs) tasks.shift();
  }

  function moveAlong({ leg, exitMps }: Extract<Task, { kind: "drive" }>): void {
    const leftM = lengthM(leg) - drivenM;
    // The speed from which the vehicle can still brake to exitMps within what is left (Krauß 1998).
    const brake = BRAKING_MPS2 * TICK_S;
    const safeMps = -brake + Math.sqrt(brake ** 2 + exitMps ** 2 + 2 * BRAKING_MPS2 * leftM);
    speedMps = Math.min(
      speedMps + ACCELERATION_MPS2 * TICK_S,
      leg.road.limitMps * habit,
      Math.max(0, safeMps),
    );
    const stepM = speedMps * TICK_S;
    // The approach to a stop has no end of its own: closer than half a metre is there.
    const arrived = stepM >= leftM || (exitMps === 0 && leftM - stepM < 0.5);
    odometerM += arrived ? leftM : stepM;
    drivenM += stepM;
    if (!arrived) {
      settle(leg, drivenM);
      return;
    }
    settle(leg, lengthM(leg));
    tasks.shift();
    const beyondM = Math.max(0, stepM - leftM);
    const next = tasks[0];
    drivenM = next?.kind === "drive" ? beyondM : 0;
    if (next?.kind === "drive") {
      odometerM += beyondM;
      settle(next.leg, beyondM);
    }
  }

  function settle(leg: Leg, alongM: number): void {
    const share = lengthM(leg) === 0 ? 1 : Math.min(1, alongM / lengthM(leg));
    const point = {
      xM: leg.from.xM + (leg.to.xM - leg.from.xM) * share,
      yM: leg.from.yM + (leg.to.yM - leg.from.yM) * share,
    };
    heading = city.headingDeg(leg);
    place = { ...city.place(point), skyHidden: inTunnel(leg.road, leg.along === "y" ? point.yM : point.xM) };
  }

  function advance(toMs: number): void {
    while (at + TICK_MS <= toMs) tick();
  }

  advance(startMs);
  return {
    advance,
    state: () => {
      const [task] = tasks;
      const ignition = task === undefined || task.kind === "drive" || task.ignition;
      return { at, ...place, speedMps, headingDeg: heading, odometerM, ignition };
    },
  };
}
