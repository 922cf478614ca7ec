/** Finds devices whose clock is wrong by a constant, from the offset between each fix and its arrival. */

import { LRUCache } from "lru-cache";
import { durationText } from "./duration.ts";

/** A device with a wrong clock, in numbers and as text. */
export interface ClockOffender {
  source: string;
  deviceId: string;
  /** The least arrival minus fix of the last fixes: negative when the clock is ahead. */
  offsetMs: number;
  /** `ahead by about 90 s`. */
  text: string;
  /** Off by whole half hours: local time sent as if it were UTC. */
  looksLikeTimeZone: boolean;
}

export interface ClockWatch {
  /** `offsetMs` is receivedAt − fixTime. Cheap: called for every raw reading that has a time, rejected ones too. */
  observe(source: string, deviceId: string, offsetMs: number): void;
  /** The worst first. */
  offenders(): ClockOffender[];
}

/** A verdict uses the least offsets of the last two whole windows and the current one: 20 to 29 fixes. */
const WINDOW_FIXES = 10;
/** Delays only add, so an arrival this long before its fix means a wrong clock. NTP errors are smaller. */
const AHEAD_MS = 5_000;
/** A clock behind looks like late delivery, but never arrives earlier; slow vendors deliver within a few minutes. */
const BEHIND_MS = 5 * 60_000;
/** The least offsets of the windows may differ by this much; a device catching up after a gap differs by more. */
const STEADY_MS = 30_000;
/** Time zones are multiples of 30 minutes (three are off by 15); the delay adds up to this much. */
const ZONE_STEP_MS = 30 * 60_000;
const ZONE_SLACK_MS = 2 * 60_000;
/** About 200 bytes each: 4 MB. Beyond it the device that was silent for longest is dropped. */
const MAX_DEVICES = 20_000;

interface Device {
  source: string;
  deviceId: string;
  /** Least offsets of the two whole windows before this one; Infinity while there is none. */
  before: number;
  last: number;
  current: number;
  fixes: number;
}

export function createClockWatch(): ClockWatch {
  const devices = new LRUCache<string, Device>({ max: MAX_DEVICES });

  function observe(source: string, deviceId: string, offsetMs: number): void {
    const key = `${source}\0${deviceId}`;
    let device = devices.get(key);
    if (device === undefined) {
      device = { source, deviceId, before: Infinity, last: Infinity, current: Infinity, fixes: 0 };
      devices.set(key, device);
    }
    if (device.fixes === WINDOW_FIXES) {
      device.before = device.last;
      device.last = device.current;
      device.current = Infinity;
      device.fixes = 0;
    }
    device.current = Math.min(device.current, offsetMs);
    device.fixes += 1;
  }

  function offenders(): ClockOffender[] {
    const found: ClockOffender[] = [];
    devices.forEach((device) => {
      const minima = [device.before, device.last, device.current];
      const least = Math.min(...minima);
      if (Math.max(...minima) - least > STEADY_MS || !Number.isFinite(least)) return;
      if (least < -AHEAD_MS || least > BEHIND_MS) found.push(describe(device, least));
    });
    return found.sort((a, b) => Math.abs(b.offsetMs) - Math.abs(a.offsetMs));
  }

  return { observe, offenders };
}

function describe({ source, deviceId }: Device, offsetMs: number): ClockOffender {
  const direction = offsetMs < 0 ? "ahead" : "behind";
  // Arrival jitter makes single seconds meaningless.
  const rounded = Math.round(Math.abs(offsetMs) / 5000) * 5000;
  const fromStep = Math.abs(offsetMs - Math.round(offsetMs / ZONE_STEP_MS) * ZONE_STEP_MS);
  const looksLikeTimeZone = Math.abs(offsetMs) > ZONE_STEP_MS - ZONE_SLACK_MS && fromStep <= ZONE_SLACK_MS;
  return {
    source,
    deviceId,
    offsetMs,
    text: `${direction} by about ${durationText(rounded)}`,
    looksLikeTimeZone,
  };
}
