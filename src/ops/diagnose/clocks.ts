/** Finds devices whose clock is wrong by a constant, from the offset between each fix and its arrival. */

import { LRUCache } from "lru-cache";
import { CURRENT_MS, rolloverIn } from "../../time.ts";
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
  /** Times in UTC milliseconds since 1970. Cheap: called for every raw reading that has a time, rejected ones too. */
  observe(source: string, deviceId: string, fixTime: number, receivedAt: number): void;
  /** Arrival minus fix of the device's last message, milliseconds; null where it is not remembered. */
  offsetOf(source: string, deviceId: string): number | null;
  /** The worst first. */
  offenders(): ClockOffender[];
}

/**
 * Late delivery looks like a clock that is behind, so that verdict uses the least offsets of the last two whole windows
 * and the current one: 20 to 29 fixes.
 */
const WINDOW_FIXES = 10;
/** A clock that is ahead, or off by whole hours, shows in as many messages; a message may bring an hour of old fixes. */
const MESSAGES = 3;
/** Delays only add, so an arrival this long before its fix means a wrong clock. NTP errors are smaller. */
const AHEAD_MS = 5_000;
/** A clock behind looks like late delivery, but never arrives earlier; slow vendors deliver within a few minutes. */
const BEHIND_MS = 5 * 60_000;
/** The least offsets of the windows may differ by this much; a device catching up after a gap differs by more. */
export const STEADY_MS = 30_000;
/** Time zones are multiples of 30 minutes (three are off by 15); the delay adds up to this much. */
const ZONE_STEP_MS = 30 * 60_000;
const ZONE_SLACK_MS = 2 * 60_000;
/** A clock that runs ahead as well, as far as it may. */
const MAX_AHEAD_MS = 2 * 60_000;
const WEEK_MS = 7 * 86_400_000;
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
  /** Least offsets of the last three messages, the latest last, and when that one arrived. */
  messages: number[];
  receivedAt: number;
}

export function createClockWatch(): ClockWatch {
  // A bound by size takes its memory as it is used; `max` takes all of it at once.
  const devices = new LRUCache<string, Device>({ maxSize: MAX_DEVICES, sizeCalculation: () => 1 });

  function observe(source: string, deviceId: string, fixTime: number, receivedAt: number): void {
    const offsetMs = receivedAt - fixTime;
    const key = `${source}\0${deviceId}`;
    let device = devices.get(key);
    if (device === undefined) {
      device = {
        source,
        deviceId,
        before: Infinity,
        last: Infinity,
        current: Infinity,
        fixes: 0,
        messages: [],
        receivedAt: NaN,
      };
      devices.set(key, device);
    }
    const { messages } = device;
    if (receivedAt === device.receivedAt) {
      messages.push(Math.min(messages.pop() ?? Infinity, offsetMs));
    } else {
      messages.push(offsetMs);
      if (messages.length > MESSAGES) messages.shift();
      device.receivedAt = receivedAt;
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
      const offset = offsetAtOnce(device.messages) ?? offsetOfWindows(device);
      if (offset !== null) found.push(describe(device, offset));
    });
    return found.sort((a, b) => Math.abs(b.offsetMs) - Math.abs(a.offsetMs));
  }

  return {
    observe,
    offenders,
    offsetOf: (source, deviceId) => devices.peek(`${source}\0${deviceId}`)?.messages.at(-1) ?? null,
  };
}

/** Of a clock that is ahead, or off by whole half hours: neither is explained by a delay that is the same three times. */
function offsetAtOnce(messages: readonly number[]): number | null {
  if (messages.length < MESSAGES) return null;
  const least = Math.min(...messages);
  // No delay lasts for years, so it need not be steady.
  if (messages.every(isRollover)) return least;
  const greatest = Math.max(...messages);
  if (greatest - least > STEADY_MS) return null;
  return greatest < -AHEAD_MS || isZone(least) ? least : null;
}

function offsetOfWindows({ before, last, current, messages }: Device): number | null {
  const minima = [before, last, current];
  const least = Math.min(...minima);
  if (Math.max(...minima) - least > STEADY_MS || !Number.isFinite(least)) return null;
  // It was ahead and was put right: the window still has fixes of before.
  if (least < -AHEAD_MS) return (messages.at(-1) ?? 0) < -AHEAD_MS ? least : null;
  return least > BEHIND_MS ? least : null;
}

/** Off by whole half hours, as local time sent as UTC is. */
export function isZone(offsetMs: number): boolean {
  const fromStep = Math.abs(offsetMs - Math.round(offsetMs / ZONE_STEP_MS) * ZONE_STEP_MS);
  return Math.abs(offsetMs) > ZONE_STEP_MS - ZONE_SLACK_MS && fromStep <= ZONE_SLACK_MS;
}

/** Off by 1,024 or 2,048 weeks: the receiver's count of weeks began again. The delay adds up to a day. */
export function isRollover(offsetMs: number): boolean {
  return rolloverIn(offsetMs, CURRENT_MS, MAX_AHEAD_MS) !== null;
}

function describe({ source, deviceId }: Device, offsetMs: number): ClockOffender {
  const direction = offsetMs < 0 ? "ahead" : "behind";
  const rollover = rolloverIn(offsetMs, CURRENT_MS, MAX_AHEAD_MS);
  if (rollover !== null) {
    const weeks = Math.round(rollover / WEEK_MS).toLocaleString("en-US");
    return { source, deviceId, offsetMs, text: `behind by ${weeks} weeks`, looksLikeTimeZone: false };
  }
  // Arrival jitter makes single seconds meaningless.
  const rounded = Math.round(Math.abs(offsetMs) / 5000) * 5000;
  return {
    source,
    deviceId,
    offsetMs,
    text: `${direction} by about ${durationText(rounded)}`,
    looksLikeTimeZone: isZone(offsetMs),
  };
}
