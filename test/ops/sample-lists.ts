/** Lists of single things, as the queue would give them, for tests of what ops makes of them. */

import type { DeadLetter } from "../../src/queue/ledger/dead-letters.ts";
import type { QuarantinedMessage } from "../../src/queue/ledger/quarantine.ts";
import type { ListedDevice } from "../../src/queue/lookup/devices.ts";
import type { Candidate } from "../../src/queue/lookup/search.ts";
import type { DeviceTimeline } from "../../src/queue/lookup/timeline.ts";
import type { TimelineEvent } from "../../src/queue/lookup/timeline-events.ts";
import { AT, before } from "./sample.ts";

const msBefore = (ms: number) => Date.parse(AT) - ms;

/** The newest first. */
export function deadLetters(): DeadLetter[] {
  return [3, 2, 1].map((nth) => ({
    id: `179519980300${nth}-0`,
    at: msBefore(80_000 - nth),
    destination: "acme-austin",
    source: "bouncie-vans",
    unit: `Van ${nth}`,
    externalId: `bouncie-vans:35209900176148${nth}:1732126080000`,
    fixTime: msBefore(90_000),
    reason: "failed",
    message: `Unit 'Van ${nth}' is not configured for provider AcmeGPS.`,
  }));
}

export function quarantined(): QuarantinedMessage[] {
  return [3, 2, 1].map((nth) => ({
    id: `179519980300${nth}-0`,
    source: "motive",
    reason: "malformed",
    receivedAt: msBefore(33_000 - nth),
    problems: ["vehicle.current_location: Invalid input: expected object, received string"],
    message: {
      body: new Uint8Array([123]),
      receivedAt: msBefore(33_000 - nth),
      method: "POST",
      headers: {},
      query: {},
      retained: false,
    },
  }));
}

export function candidates(): Candidate[] {
  return [
    {
      source: "bouncie-vans",
      device: "352099001761481",
      unit: "Van 7",
      unitName: "Van 7",
      technician: "42",
      destination: "acme-austin",
    },
  ];
}

export function timelineOfOne(): DeviceTimeline {
  const event: TimelineEvent = {
    at: AT,
    since: null,
    count: 1,
    kind: "delivered",
    reason: null,
    detail: null,
    fixAt: before(21_000),
    offsetMs: 1500,
    destination: "acme-austin",
    batchId: "b-9f1c",
    status: 200,
    traceId: "trace-77",
    tookMs: 118,
    words: null,
  };
  return {
    source: "bouncie-vans",
    device: "352099001761481",
    leadsTo: candidates(),
    seenAt: before(19_500),
    events: [
      event,
      {
        ...event,
        kind: "rejected",
        reason: "too_old",
        count: 4,
        since: before(60_000),
        batchId: null,
        status: null,
      },
    ],
    reachesBackTo: before(3_600_000),
    unknown: ["Refused messages name no device."],
    sourceEvents: [{ ...event, kind: "refused", reason: "unauthenticated", fixAt: null, batchId: null }],
  };
}

export function devices(): ListedDevice[] {
  return [1, 2, 3].map((nth) => ({
    source: "bouncie-vans",
    device: `35209900176148${nth}`,
    lastSeenAt: before(19_500),
    lastFixAt: before(21_000),
    lastRejection: nth === 1 ? { at: before(60_000), reason: "too_old", count: 4 } : null,
    offsetMs: nth === 1 ? -90_000 : null,
    unit: `Van ${nth}`,
    unitName: `Van ${nth}`,
    technician: null,
  }));
}
