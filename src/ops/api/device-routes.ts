/** Routes about single devices: the list of them, and the timeline of one. */

import { createRoute, z } from "@hono/zod-openapi";
import { operationOf } from "../access/trail.ts";
import { cursorOf, isPlaceOf, type Place, pageQuery, placeIn } from "./cursors.ts";
import { badCursor, refusals, refused, wrongParameters } from "./errors.ts";
import { EXAMPLE_DEVICES, EXAMPLE_TIMELINE } from "./position-examples.ts";
import { type Api, type ApiDeps, type Devices, TAGS, type Within } from "./routes.ts";
import { type DeviceRow, devicesSchema, type Timeline, timelineSchema } from "./schema/devices.ts";
import { nameParameter } from "./schema/fields.ts";

export function serveDevices(api: Api, { devices, guards: { trail } }: ApiDeps): void {
  api.openapi(devicesRoute, async (c) => {
    const { limit, cursor, source, q } = c.req.valid("query");
    const { sight } = c.var;
    const list = { name: "devices", filter: { source, q } };
    const after = placeIn(list, cursor, isDevicePlace);
    if (after === null) return badCursor(c);
    if (source !== undefined && !sight.seesSource(source)) return refused(c, "not_found");
    // One more than is shown tells whether there is another page.
    const found = await devices.listDevices(
      { source, q, limit: limit + 1, after: after && { source: after[0], device: after[1] } },
      sight.within ?? undefined,
    );
    const items = found.slice(0, limit).map(
      ({ offsetMs, ...device }): DeviceRow => ({
        ...device,
        clockOffsetMs: devices.clockOffsetOf(device.source, device.device) ?? offsetMs,
      }),
    );
    const last = items.at(-1);
    const next = last && found.length > limit ? cursorOf(list, [last.source, last.device]) : null;
    return c.json({ items, next }, 200);
  });

  api.openapi(timelineRoute, async (c) => {
    const { q, source, device } = c.req.valid("query");
    const { sight } = c.var;
    const isNamed = source !== undefined && device !== undefined;
    if ((q === undefined) === !isNamed || (q !== undefined && (source ?? device) !== undefined)) {
      return wrongParameters(c, [{ parameter: "q", detail: "give either q, or source and device" }]);
    }
    if (source !== undefined && !sight.seesSource(source)) return refused(c, "not_found");
    const asked: Record<string, string> = isNamed ? { source, device } : { q: q ?? "" };
    const answer = await trail.during(
      operationOf(c, "timeline", asked),
      () => timelineOf(devices, asked, sight.within ?? undefined),
      ({ candidates }) => candidates.length,
    );
    return c.json(answer, 200);
  });
}

const NO_EVENTS = { device: null, events: [], reachesBackTo: null, unknown: [], sourceEvents: [] };

/** Of one device its events; where several fit, these, and no events. */
async function timelineOf(
  devices: Devices,
  asked: Record<string, string>,
  within: Within | undefined,
): Promise<Timeline> {
  const { q = "", source, device } = asked;
  const isNamed = source !== undefined && device !== undefined;
  const { candidates, one } = isNamed
    ? { candidates: [], one: { source, device } }
    : await devices.findDevice(q, within);
  const known = one && (await devices.deviceTimeline(one.source, one.device, { within }));
  if (!known) return { ...NO_EVENTS, candidates };
  const { leadsTo, seenAt, events, reachesBackTo, unknown, sourceEvents } = known;
  const { source: ofSource, device: id } = known;
  return {
    candidates: [...leadsTo],
    device: { source: ofSource, device: id, lastSeenAt: seenAt },
    events,
    reachesBackTo,
    unknown,
    sourceEvents,
  };
}

const isDevicePlace = (place: Place): place is readonly [string, string] =>
  isPlaceOf("string", "string")(place);

const devicesRoute = createRoute({
  method: "get",
  path: "/devices",
  operationId: "listDevices",
  tags: [TAGS.devices],
  summary: "Which devices are there?",
  description:
    "By source and id: when each was last seen, its last reading and rejection, its clock, its unit.",
  request: {
    query: z.strictObject({
      source: nameParameter("Only of this source.", "vans").optional(),
      q: nameParameter(
        "A part, in any case, of the device, its unit, the unit's name or the technician.",
        "v-12",
      )
        .max(300)
        .optional(),
      ...pageQuery,
    }),
  },
  responses: {
    200: {
      description: "A page of devices",
      content: { "application/json": { schema: devicesSchema, example: EXAMPLE_DEVICES } },
    },
    ...refusals("bad_request", "not_found"),
  },
});

const timelineRoute = createRoute({
  method: "get",
  path: "/timeline",
  operationId: "getTimeline",
  tags: [TAGS.devices],
  summary: "What happened to a device?",
  description:
    "Give `q`, or `source` and `device`. With one match, what became of its last readings, from receipt to ServiceTitan's answer; with several, the candidates and no events. It says how far back it reaches and what it does not know.",
  request: {
    query: z.strictObject({
      q: nameParameter(
        "A part, in any case, of a device, unit, unit's name, technician or externalId.",
        "v-12",
      )
        .max(300)
        .optional(),
      source: z
        .string()
        .min(1)
        .max(100)
        .optional()
        .openapi({ description: "With device: exactly this one." }),
      device: z.string().min(1).max(300).optional().openapi({ description: "The vendor's id of it." }),
    }),
  },
  responses: {
    200: {
      description: "The timeline, or the candidates",
      content: { "application/json": { schema: timelineSchema, example: EXAMPLE_TIMELINE } },
    },
    ...refusals("bad_request", "not_found"),
  },
});
