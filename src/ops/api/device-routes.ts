/** Routes about single devices: the list of them, and the timeline of one. */

import { createRoute, z } from "@hono/zod-openapi";
import { operationOf } from "../access/trail.ts";
import { cursorOf, isPlaceOf, type Place, pageQuery, placeIn } from "./cursors.ts";
import { badCursor, refusals, refused, wrongParameters } from "./errors.ts";
import { EXAMPLE_DEVICES, EXAMPLE_TIMELINE } from "./position-examples.ts";
import { type Api, type ApiDeps, type DeviceTimeline, TAGS } from "./routes.ts";
import { type Candidate, devicesSchema, timelineSchema } from "./schema/devices.ts";
import { nameParameter } from "./schema/fields.ts";

const NO_EVENTS: DeviceTimeline = { events: [], reachesBackTo: null, unknown: [], sourceEvents: [] };

export function serveDevices(api: Api, { devices, timeline, guards: { trail } }: ApiDeps): void {
  api.openapi(devicesRoute, async (c) => {
    const { limit, cursor, source, q } = c.req.valid("query");
    const { sight } = c.var;
    const list = { name: "devices", filter: { source, q } };
    const after = placeIn(list, cursor, isDevicePlace);
    if (after === null) return badCursor(c);
    if (source !== undefined && !sight.seesSource(source)) return refused(c, "not_found");
    // One more than is shown tells whether there is another page.
    const found = await devices.list(
      { source, q, limit: limit + 1, after: after && { source: after[0], device: after[1] } },
      sight.within ?? undefined,
    );
    const items = found.slice(0, limit);
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
    const asked = isNamed ? { source, device } : { q: q ?? "" };
    const answer = await trail.during(
      operationOf(c, "timeline", asked),
      async () => {
        const within = sight.within ?? undefined;
        const found = isNamed ? await theOne(source, device) : [...(await timeline.search(q ?? "", within))];
        const [only] = found;
        const events = only && found.length === 1 ? await timeline.of(only.source, only.device) : NO_EVENTS;
        return {
          candidates: found,
          reachesBackTo: events.reachesBackTo,
          events: [...events.events],
          unknown: [...events.unknown],
          sourceEvents: [...events.sourceEvents],
        };
      },
      ({ candidates }) => candidates.length,
    );
    return c.json(answer, 200);

    /** The candidate as the search knows it; one that it does not know may have a timeline all the same. */
    async function theOne(name: string, id: string): Promise<Candidate[]> {
      const known = await timeline.search(id, sight.within ?? undefined);
      const same = known.find((each) => each.source === name && each.device === id);
      const bare = { unit: null, unitName: null, technician: null, destination: null };
      return [same ?? { source: name, device: id, ...bare }];
    }
  });
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
