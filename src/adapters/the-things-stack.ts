/** The Things Stack (LoRaWAN): uplinks decoded by the customer's formatter, by webhook or MQTT. */

import { z } from "zod";
import type { RawReading, SaidDetails } from "../reading.ts";
import { defineAdapter } from "./kit/adapter.ts";
import { basic, customHeader } from "./kit/auth.ts";
import { codecPaths, positionsIn } from "./kit/codec-paths.ts";
import { degrees, id, isoTime, isRecord, metres, part, text } from "./kit/fields.ts";

/** A coordinate that is zero is left out where the other one is present. */
const location = part({
  latitude: z.unknown().optional(),
  longitude: z.unknown().optional(),
  altitude: metres,
  accuracy: metres,
  source: text,
});
const end_device_ids = part({ device_id: id, dev_eui: id });

const uplink = z.object({
  end_device_ids,
  received_at: isoTime,
  uplink_message: z.object({
    received_at: z.unknown().optional(),
    decoded_payload: z.unknown().optional(),
    // Other entries come from the registry; those of gateways are in `rx_metadata`.
    locations: part({ "frm-payload": location }),
  }),
});
const solved = z.object({ end_device_ids, received_at: isoTime, location_solved: z.object({ location }) });

const OTHERS = [
  "join_accept",
  "uplink_normalized",
  "downlink_ack",
  "downlink_nack",
  "downlink_sent",
  "downlink_failed",
  "downlink_queued",
  "downlink_queue_invalidated",
  "service_data",
];

export const theThingsStack = defineAdapter({
  vendor: "the-things-stack",
  docs: "https://www.thethingsindustries.com/docs/integrations/data-formats/",
  evidence: "documented",
  transports: ["webhook", "mqtt"],
  auth: [customHeader(), basic()],
  // The open source edition; the hosted one waits 10 s.
  deadlineMs: 5000,
  topics: ["v3/+/devices/+/up", "v3/+/devices/+/location/solved"],
  speedUnit: "optional",
  options: z
    .strictObject({
      /** The device's name in the console, or the number of its hardware; by MQTT `dev_eui` by default. */
      deviceId: z.enum(["device_id", "dev_eui"]).optional(),
      ...codecPaths,
    })
    .prefault({}),
  ignore: (raw) => {
    if (!isRecord(raw) || raw.uplink_message !== undefined) return null;
    // A location solved from the payload repeats an uplink under another time.
    if (isRecord(raw.location_solved) && raw.location_solved.service === "frm-payload")
      return "location_solved";
    return OTHERS.find((kind) => Object.hasOwn(raw, kind)) ?? null;
  },
  ignores: "joins, downlinks, service data, and `location_solved` from the payload, which repeats an uplink",
  payload: z.union([uplink, solved]),
  decode: (message, { options, speedUnit, topic }) => {
    const { device_id, dev_eui } = message.end_device_ids;
    const isEui = (options.deviceId ?? (topic.length > 0 ? "dev_eui" : "device_id")) === "dev_eui";
    const deviceId = isEui ? dev_eui : device_id;
    if ("location_solved" in message) {
      const { location } = message.location_solved;
      return [
        {
          path: "location_solved",
          deviceId,
          fixTime: message.received_at,
          ...placeOf(location),
          speedMps: null,
          headingDeg: null,
        },
      ];
    }
    const { received_at, decoded_payload, locations } = message.uplink_message;
    const uplink = {
      payload: decoded_payload,
      arrival: received_at === undefined ? message.received_at : isoTime.parse(received_at),
      path: "uplink_message",
      payloadPath: "uplink_message.decoded_payload",
    };
    const { details, ...place } = placeOf(locations["frm-payload"]);
    return positionsIn(uplink, options, speedUnit).map((position): RawReading => {
      if (position.path !== uplink.path) return { deviceId, ...position };
      const said = [position.latitude, position.longitude].filter((coordinate) => coordinate !== null).length;
      return {
        deviceId,
        ...position,
        // Where the formatter has one coordinate only, the other comes from the stack's own decoding.
        ...(said === 2 || (said === 1 && place.noFix) ? {} : place),
        details: merged(position.details, details),
      };
    });
  },
});

/** What the formatter says, and what the stack knows beside it. */
function merged(said: SaidDetails = {}, known: SaidDetails): SaidDetails {
  return { altitudeM: said.altitudeM ?? known.altitudeM, accuracyM: said.accuracyM ?? known.accuracyM };
}

/** Only positions of the device's own GPS: solvers also estimate from the places of gateways. */
function placeOf({ latitude, longitude, altitude, accuracy, source }: z.output<typeof location>) {
  const isPlace = latitude !== undefined || longitude !== undefined;
  const coordinate = (value: unknown) => degrees.parse(isPlace && value === undefined ? 0 : value);
  return {
    latitude: coordinate(latitude),
    longitude: coordinate(longitude),
    details: { altitudeM: altitude, accuracyM: accuracy },
    ...(source === "SOURCE_GPS" ? {} : { noFix: true }),
  };
}
