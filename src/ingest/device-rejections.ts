/** Sums up the rejected raw readings of one message by device and reason, for the devices' timelines. */

import type { Message } from "../adapters/kit/adapter.ts";
import { MAX_DEVICE_ID_CHARS, type RawReading, type Rejection, UNSTORABLE } from "../reading.ts";
import type { DeviceRejections } from "./store.ts";

/** Of one message. Every rejection is counted; what a message of thousands of devices is told with stays small. */
const MAX_TOLD = 20;
/** Devices and reasons that are looked at; a message may have 5,000 raw readings. */
const MAX_SUMMED = 200;
/** 9999-12-31: a time beyond cannot be written as text. */
const MAX_TIME_MS = 253_402_300_799_999;

export const NO_DEVICE_REJECTIONS: readonly DeviceRejections[] = [];

export function createDeviceRejections({ receivedAt, retained, resent }: Message) {
  const sums = new Map<string, DeviceRejections>();
  /** A message that lay somewhere says nothing of its device's clock. */
  const isFresh = !retained && !resent;

  function add({ reason, path }: Rejection, { deviceId, fixTime: said }: RawReading): void {
    const device = deviceId !== null && isStorable(deviceId) ? deviceId : null;
    const key = `${device ?? ""}\0${reason}`;
    const fixTime = typeof said === "number" && said >= 0 && said <= MAX_TIME_MS ? Math.floor(said) : null;
    let sum = sums.get(key);
    if (sum === undefined) {
      if (sums.size >= MAX_SUMMED) return;
      sum = { device, reason, count: 0, path, fixTime, offsetMs: null };
      sums.set(key, sum);
    }
    sum.count += 1;
    sum.path = path;
    sum.fixTime = fixTime;
    if (fixTime === null || !isFresh) return;
    const offset = receivedAt - fixTime;
    sum.offsetMs = {
      least: Math.min(sum.offsetMs?.least ?? offset, offset),
      greatest: Math.max(sum.offsetMs?.greatest ?? offset, offset),
    };
  }

  /** The last of each device first. */
  function bounded(): DeviceRejections[] {
    const all = [...sums.values()];
    if (all.length <= MAX_TOLD) return all;
    const lastOfDevice = new Set(new Map(all.map((each) => [each.device, each])).values());
    const others = all.filter((each) => !lastOfDevice.has(each));
    return [...lastOfDevice, ...others].slice(0, MAX_TOLD);
  }

  return { add, bounded };
}

function isStorable(deviceId: string): boolean {
  return deviceId !== "" && deviceId.length <= MAX_DEVICE_ID_CHARS && !UNSTORABLE.test(deviceId);
}
