/** Validates the raw readings of one message, and counts why some are rejected. */

import type { Message } from "../adapters/kit/adapter.ts";
import {
  AT_RECEIPT,
  type FieldDefect,
  MAX_AHEAD_MS,
  type RawReading,
  type Reading,
  type Rejection,
  type RejectionReason,
  validate,
} from "../reading.ts";
import { createDeviceRejections, NO_DEVICE_REJECTIONS } from "./device-rejections.ts";
import type { DeviceRejections } from "./store.ts";

/** At most this many rejections are named to the sender; all are counted. */
const MAX_NAMED_REJECTIONS = 20;
/** Raw readings between two pauses. */
const READINGS_BETWEEN_PAUSES = 128;

const NO_REJECTIONS: ReadonlyMap<RejectionReason, number> = new Map();
const NO_DEFECTS: ReadonlyMap<FieldDefect, number> = new Map();

export interface Validated {
  kind: "validated";
  /** Foreign ones included. */
  rawReadings: number;
  /** Of devices that the message's login may not speak for; they are among the rejected. */
  foreign: readonly RawReading[];
  /** One of the readings has the time of receipt for its own. */
  isTimeless: boolean;
  readings: Reading[];
  named: Rejection[];
  rejections: ReadonlyMap<RejectionReason, number>;
  /** The same by device, bounded. */
  rejected: readonly DeviceRejections[];
  defects: ReadonlyMap<FieldDefect, number>;
}

/** Pauses where there are many. */
export function* validateAll(
  source: { name: string; maxAgeMs: number; maxAccuracyM?: number | undefined },
  message: Message,
  rawReadings: readonly RawReading[],
  foreign: readonly RawReading[],
  fixSeen: (source: string, deviceId: string, fixTime: number, receivedAt: number) => void,
): Generator<undefined, Validated> {
  const context = {
    receivedAt: message.receivedAt,
    maxAgeMs: source.maxAgeMs,
    maxAheadMs: MAX_AHEAD_MS,
    retained: message.retained,
    resent: message.resent,
    maxAccuracyM: source.maxAccuracyM,
  };
  const readings: Reading[] = [];
  const named: Rejection[] = [];
  // Made when first needed: most messages have neither, and this is the hottest path of all.
  let rejections: Map<RejectionReason, number> | undefined;
  let defects: Map<FieldDefect, number> | undefined;
  let byDevice: ReturnType<typeof createDeviceRejections> | undefined;
  const reject = (rejection: Rejection, rawReading: RawReading): void => {
    rejections ??= new Map();
    byDevice ??= createDeviceRejections(message);
    byDevice.add(rejection, rawReading);
    rejections.set(rejection.reason, (rejections.get(rejection.reason) ?? 0) + 1);
    if (named.length < MAX_NAMED_REJECTIONS) named.push(rejection);
  };
  let isTimeless = false;
  for (const rawReading of foreign) reject({ reason: "foreign_device", path: rawReading.path }, rawReading);
  let untilPause = READINGS_BETWEEN_PAUSES;
  for (const rawReading of rawReadings) {
    untilPause -= 1;
    if (untilPause === 0) {
      untilPause = READINGS_BETWEEN_PAUSES;
      yield;
    }
    const { deviceId, fixTime } = rawReading;
    if (deviceId !== null && Number.isFinite(fixTime) && !message.retained && !message.resent) {
      fixSeen(source.name, deviceId, Number(fixTime), message.receivedAt);
    }
    const validation = validate(rawReading, context);
    if (validation.kind === "rejected") {
      reject(validation.rejection, rawReading);
      continue;
    }
    readings.push(validation.reading);
    if (fixTime === AT_RECEIPT) isTimeless = true;
    for (const defect of validation.defects) {
      defects ??= new Map();
      defects.set(defect, (defects.get(defect) ?? 0) + 1);
    }
  }
  return {
    kind: "validated",
    rawReadings: rawReadings.length + foreign.length,
    foreign,
    isTimeless,
    readings,
    named,
    rejections: rejections ?? NO_REJECTIONS,
    rejected: byDevice?.bounded() ?? NO_DEVICE_REJECTIONS,
    defects: defects ?? NO_DEFECTS,
  };
}
