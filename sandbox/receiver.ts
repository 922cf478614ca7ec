/** A GPS receiver: what it makes of a vehicle's true state, with the noise and the flaws that real ones have. */

import type { Random } from "./random.ts";
import type { VehicleState } from "./vehicle.ts";

/** What is wrong with a fix, beyond noise. */
export const FLAWS = ["none", "no_fix", "null_island", "speed_sentinel"] as const;
export type Flaw = (typeof FLAWS)[number];

/** A position as the device knows it. */
export interface Fix {
  flaw: Flaw;
  /** By the device's own clock: UTC milliseconds since 1970. */
  time: number;
  /** WGS84 degrees; the last good place where there is no fix, 0,0 on null island. */
  latitude: number;
  longitude: number;
  /** True and meant to be sent, whatever the flaw; a vendor writes its sentinel itself. */
  speedMps: number;
  headingDeg: number;
  accuracyM: number;
  ignition: boolean;
  odometerM: number;
}

/** What a device of its kind gets wrong all the time. */
export interface ReceiverHabits {
  /** Device clock minus true time. */
  clockErrorMs: number;
  /** Share of its fixes that are 0,0. */
  nullIslandShare: number;
  /** Share of its fixes whose speed is the vendor's word for "unknown". */
  speedSentinelShare: number;
}

/** Drift of a position under open sky: a few metres, and the error of one second resembles that of the last. */
const DRIFT_KEPT = 0.92;
const DRIFT_STEP_M = 1.1;
const M_PER_DEG = 111_195;

export interface Receiver {
  observe(state: VehicleState): Fix;
}

export function createReceiver(random: Random, habits: ReceiverHabits): Receiver {
  let driftNorthM = random.normal(2);
  let driftEastM = random.normal(2);
  let lastGood: { latitude: number; longitude: number } | null = null;

  function observe(state: VehicleState): Fix {
    driftNorthM = driftNorthM * DRIFT_KEPT + random.normal(DRIFT_STEP_M);
    driftEastM = driftEastM * DRIFT_KEPT + random.normal(DRIFT_STEP_M);
    const flaw = pickFlaw(state);
    const measured = {
      latitude: round(state.latitude + driftNorthM / M_PER_DEG, 6),
      longitude: round(
        state.longitude + driftEastM / (M_PER_DEG * Math.cos((state.latitude * Math.PI) / 180)),
        6,
      ),
    };
    if (flaw === "none" || flaw === "speed_sentinel") lastGood = measured;
    const place = flaw === "null_island" ? { latitude: 0, longitude: 0 } : (lastGood ?? measured);
    return {
      flaw,
      time: state.at + habits.clockErrorMs,
      ...place,
      speedMps: state.speedMps,
      headingDeg: round(state.headingDeg, 1) % 360,
      accuracyM: Math.round(random.between(3, 9)),
      ignition: state.ignition,
      odometerM: state.odometerM,
    };
  }

  function pickFlaw(state: VehicleState): Flaw {
    // Both are drawn every time, so that one flaw does not shift the other's numbers.
    const isNowhere = random.chance(habits.nullIslandShare);
    const isTooFast = random.chance(habits.speedSentinelShare);
    if (state.skyHidden) return "no_fix";
    if (isNowhere) return "null_island";
    return isTooFast ? "speed_sentinel" : "none";
  }

  return { observe };
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
