/** Finds devices whose readings are rejected, and tells a wrong clock from other causes. */

import type { RejectionReason } from "../../reading.ts";
import type { TroubledDevice } from "../../status/queue.ts";
import { isRollover, isZone, STEADY_MS } from "./clocks.ts";
import { durationText } from "./duration.ts";
import { type Finding, listed, type Whose, warning } from "./problem.ts";

/** Fewer may be one bad moment of a receiver. */
const MIN_REJECTED = 3;
/** A receiver has no fix in a tunnel, or until it has found its satellites. */
export const WITHOUT_FIX: ReadonlySet<string> = new Set<RejectionReason>([
  "no_fix",
  "inaccurate",
  "incomplete",
]);
/** A car is out of a tunnel by then, and a receiver that was switched on knows where it is. */
export const WITHOUT_FIX_MS = 120_000;
/** A device that has sent nothing for so long is silent, which is another problem. */
const CURRENT_MS = 15 * 60_000;

interface Remedy {
  /** To follow "are rejected". */
  because: string;
  whose: Whose;
  doNext: string;
}

const DECODE = "Take one of its messages and run it through waypost decode";

const REMEDIES: Record<RejectionReason, Remedy> = {
  no_device: {
    because: "they name no device",
    whose: "configuration",
    doNext: `${DECODE}; with vendor json, correct the path of deviceId.`,
  },
  bad_device: {
    because: "the device's id cannot be stored",
    whose: "vendor",
    doNext: "Rename the device: at most 128 characters, none of them invisible.",
  },
  foreign_device: {
    because: "the login they come with may not speak for it",
    whose: "configuration",
    doNext:
      "If the login belongs to the device, list the device's id in its speaksFor. If not, somebody reports as another device: change that login's password.",
  },
  bad_checksum: {
    because: "their checksum is wrong or missing",
    whose: "device",
    doNext:
      "Look at the line between receiver and modem (baud rate, noise, two writers); firmware that composes sentences itself has to add the checksum.",
  },
  no_time: {
    because: "they have no time",
    whose: "vendor",
    doNext: `${DECODE}; with vendor json, set time, or timeFormat: received.`,
  },
  bad_time: {
    because: "their time cannot be read",
    whose: "vendor",
    doNext: `${DECODE}: a time without Z or offset is the usual cause.`,
  },
  before_2000: {
    because: "their time is before the year 2000, as of a receiver without a fix",
    whose: "device",
    doNext: "Look at the device's antenna, or move the vehicle into the open.",
  },
  in_future: {
    because: "their time is more than 2 min ahead",
    whose: "device",
    doNext:
      "Let the device take its time from GPS or the network. All devices at once mean that the gateway's own clock is behind.",
  },
  too_old: {
    because: "they come later than maxAgeMs after their fix",
    whose: "vendor",
    doNext:
      "After an outage of the vendor nothing: what it had stored comes late. If it lasts, ask the vendor why positions are late, and compare the device's clock.",
  },
  retained_without_time: {
    because: "the broker kept them, and they have no time",
    whose: "device",
    doNext: "Stop the device from retaining its messages.",
  },
  resent_without_time: {
    because: "they were sent again, and have no time",
    whose: "device",
    doNext: "Nothing, unless the device never sends others: then look at its connection.",
  },
  no_fix: {
    because: "the vendor says that they are no valid fix",
    whose: "device",
    doNext: "Look at the device's antenna, or move the vehicle into the open.",
  },
  bad_latitude: { because: "their latitude cannot be read", whose: "vendor", doNext: `${DECODE}.` },
  bad_longitude: { because: "their longitude cannot be read", whose: "vendor", doNext: `${DECODE}.` },
  latitude_out_of_range: {
    because: "their latitude is beyond 90°",
    whose: "vendor",
    doNext: `${DECODE}: latitude and longitude may be exchanged.`,
  },
  longitude_out_of_range: {
    because: "their longitude is beyond 180°",
    whose: "vendor",
    doNext: `${DECODE}: the unit may be another than degrees.`,
  },
  null_island: {
    because: "they are at 0°, 0°, which devices send without a fix",
    whose: "device",
    doNext: "Look at the device's antenna, or move the vehicle into the open.",
  },
  incomplete: {
    because: "only a part of the position came",
    whose: "device",
    doNext: "See that the device sends latitude and longitude within 5 s of each other.",
  },
  inaccurate: {
    because: "they are less accurate than the source's maxAccuracyM",
    whose: "device",
    doNext: "Look at the device's antenna, or raise maxAccuracyM of the source.",
  },
  implausible_jump: {
    because: "no vehicle gets there in that time",
    whose: "device",
    doNext:
      "Two devices may report under one id; otherwise look at the receiver, or raise the source's limit.",
  },
  thinned: {
    because: "the source leaves out what comes too often",
    whose: "configuration",
    doNext: "Nothing: that is what minInterval is for.",
  },
  too_many_devices: {
    because: "their tenant has as many devices as its limits.devices allows",
    whose: "configuration",
    doNext: "Raise the tenant's limits.devices, or erase devices that it has no more.",
  },
};

/** Pure. `nowMs`: UTC milliseconds since 1970. */
export function diagnoseDevices(
  source: string,
  troubled: readonly TroubledDevice[],
  nowMs: number,
): Finding[] {
  const current = troubled.filter(
    (device) =>
      device.rejected >= MIN_REJECTED &&
      // Most of them; a device that only sometimes has no fix is well.
      device.rejected > 2 * device.good &&
      (!WITHOUT_FIX.has(device.reason) || device.lastAt - device.since >= WITHOUT_FIX_MS) &&
      nowMs - device.lastAt <= CURRENT_MS &&
      !isRolledOver(device, nowMs),
  );
  const wrong = current.filter((device) => clockOffset(device) !== null);
  const others = current.filter((device) => clockOffset(device) === null);
  const where = `source ${source}`;
  const reasons = [...new Set(others.map(({ reason }) => reason))];
  return [
    ...wrongClocks(where, wrong),
    ...reasons.map((reason) =>
      rejectedDevices(
        where,
        reason,
        others.filter((device) => device.reason === reason),
      ),
    ),
  ];
}

/** Its dates are 1,024 or 2,048 weeks behind and its positions late as well, so that they are not corrected. */
export function isRolledOver({ reason, offsetMs, rejected, lastAt }: TroubledDevice, nowMs: number): boolean {
  if ((reason !== "too_old" && reason !== "before_2000") || offsetMs === null) return false;
  if (rejected < MIN_REJECTED || nowMs - lastAt > CURRENT_MS) return false;
  return isRollover(offsetMs.least) && isRollover(offsetMs.greatest);
}

/**
 * By how much a clock is behind (ahead: negative) where that is what is wrong. It takes several messages: what a device
 * stored on the way and sends at once has steady offsets, too.
 */
function clockOffset({ reason, offsetMs, messages }: TroubledDevice): number | null {
  if ((reason !== "too_old" && reason !== "in_future") || offsetMs === null) return null;
  if (offsetMs.greatest - offsetMs.least > STEADY_MS) return null;
  return messages >= MIN_REJECTED ? offsetMs.least : null;
}

/** `5 h behind`; minutes where there are any: `330 min` says more than `6 h`. */
function offsetText(offsetMs: number): string {
  const minutes = Math.round(Math.abs(offsetMs) / 60_000);
  const hours = minutes / 60;
  const length =
    minutes >= 60 && isZone(offsetMs) ? `${Math.round(hours * 2) / 2} h` : durationText(Math.abs(offsetMs));
  return `${length} ${offsetMs < 0 ? "ahead" : "behind"}`;
}

function wrongClocks(where: string, devices: readonly TroubledDevice[]): Finding[] {
  if (devices.length === 0) return [];
  const named = devices.map((device) => `${device.device} is ${offsetText(clockOffset(device) ?? 0)}`);
  const isZoned = devices.some((device) => isZone(clockOffset(device) ?? 0));
  return [
    warning("clock_wrong", where, {
      what: `Clocks are wrong by a constant, so positions are rejected: ${listed(named)}.`,
      // Several with one offset have their time from the vendor's account.
      whose: devices.length > 1 && isZoned ? "vendor" : "device",
      doNext: isZoned
        ? "Looks like a time zone: set the device or the vendor's account to UTC."
        : "Let the device take its time from GPS or the network.",
      ...about(devices),
    }),
  ];
}

function rejectedDevices(where: string, reason: string, devices: readonly TroubledDevice[]): Finding {
  const remedy = isReason(reason) ? REMEDIES[reason] : null;
  const rejected = devices.reduce((sum, device) => sum + device.rejected, 0);
  const good = devices.reduce((sum, device) => sum + device.good, 0);
  const whom = devices.length === 1 ? "device" : `${devices.length} devices`;
  const share = good === 0 ? `All of ${rejected} positions` : `${rejected} of ${rejected + good} positions`;
  return warning("device_rejected", where, {
    what: `${share} of ${whom} ${listed(devices.map(({ device }) => device))} are rejected as ${reason}${remedy ? `: ${remedy.because}` : ""}.`,
    whose: remedy?.whose ?? "device",
    doNext: remedy?.doNext ?? `${DECODE}; docs/reasons.md explains each reason.`,
    ...about(devices),
  });
}

function about(devices: readonly TroubledDevice[]) {
  return {
    sinceMs: Math.min(...devices.map(({ since }) => since)),
    subjects: devices.map(({ device }) => device),
  };
}

function isReason(reason: string): reason is RejectionReason {
  return Object.hasOwn(REMEDIES, reason);
}
