/** Routes that open one tenant's page to its people, and that erase what is stored of it. */

import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { iso } from "../../time.ts";
import type { OpsEnv } from "../access/sight.ts";
import { operationOf } from "../access/trail.ts";
import { refusals, refused } from "./errors.ts";
import { tenantsByDestination } from "./places.ts";
import { type Api, type ApiDeps, TAGS, unavailable, wholeStatus } from "./routes.ts";
import { nameParameter } from "./schema/fields.ts";
import { erasedSchema, erasureSchema, linkSchema, newLinkSchema } from "./schema/tenant-links.ts";

export function serveTenantLinks(api: Api, deps: ApiDeps): void {
  const { guards, links, topology, devices, erase, events } = deps;

  /** What belongs to the tenant; null where there is none, or the token does not see all of it. */
  async function placeOf(c: Context<OpsEnv>, name: string) {
    const status = await wholeStatus(c, deps);
    if (status === null) return null;
    const destinations = [...tenantsByDestination(status, topology)].flatMap(([destination, tenant]) =>
      tenant === name ? [destination] : [],
    );
    const all = topology.tenants?.get(name)?.destinations ?? destinations;
    if (destinations.length === 0 || destinations.length < all.length) return "missing";
    const sources = [...topology.sources].flatMap(([source, { destination }]) =>
      destinations.includes(destination) ? [source] : [],
    );
    return { destinations, sources };
  }

  api.openapi(linkRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const { hours } = c.req.valid("json");
    const place = await placeOf(c, tenant);
    if (place === null) return unavailable(c);
    if (place === "missing") return refused(c, "not_found");
    const { path, endsAtMs } = links.make(
      c.var.token,
      { tenant, destinations: place.destinations },
      hours * 3_600_000,
    );
    guards.trail.record({
      ...operationOf(c, "link", { tenant, hours: String(hours) }),
      ...{ count: null, outcome: "done" },
    });
    return c.json({ tenant, path, until: iso(endsAtMs) }, 200);
  });

  api.openapi(erasureRoute, async (c) => {
    const { tenant } = c.req.valid("param");
    const { unit } = c.req.valid("json");
    const place = await placeOf(c, tenant);
    if (place === null) return unavailable(c);
    if (place === "missing") return refused(c, "not_found");
    try {
      const within = { destinations: new Set(place.destinations), sources: new Set(place.sources) };
      const found = unit === undefined ? [] : (await devices.findDevice(unit, within)).candidates;
      const own = found.flatMap((each) =>
        each.unit === unit ? [{ source: each.source, device: each.device }] : [],
      );
      const erased = await guards.trail.during(
        operationOf(c, "erasure", { tenant, ...(unit !== undefined && { unit }) }),
        () => erase({ ...place, ...(unit !== undefined && { unit: { id: unit, devices: own } }) }),
        (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0),
      );
      return c.json({ tenant, unit: unit ?? null, erased }, 200);
    } catch (error) {
      events.failed({ where: "erasure", error });
      return unavailable(c);
    }
  });
}

const params = z.object({ tenant: nameParameter("Its name, or its number at ServiceTitan.", "1000001") });
const query = z.strictObject({});

const linkRoute = createRoute({
  method: "post",
  path: "/tenants/{tenant}/links",
  operationId: "linkToTenant",
  tags: [TAGS.tenants],
  summary: "Open a tenant's page to its own people",
  description:
    "A link that logs a browser in to this tenant alone, with role read, until it ends. It ends before with the token that made it. Needs role operate.",
  request: {
    params,
    query,
    body: {
      required: true,
      content: { "application/json": { schema: newLinkSchema, example: { hours: 24 } } },
    },
  },
  responses: {
    200: {
      description: "The link, below the address of the ops endpoint",
      content: {
        "application/json": {
          schema: linkSchema,
          example: {
            tenant: "1000001",
            path: "/open/token.WyIxMDAwMDAxIl0.3f2a.1795200000000.c2lnbmF0dXJl",
            until: "2026-11-21T18:30:00.000Z",
          },
        },
      },
    },
    ...refusals("bad_request", "role", "not_json", "not_found", "unavailable"),
  },
});

const erasureRoute = createRoute({
  method: "post",
  path: "/tenants/{tenant}/erasures",
  operationId: "eraseTenantData",
  tags: [TAGS.tenants],
  summary: "Erase what is stored of a tenant, or of one unit",
  description:
    "From the backlog, the ledger, timelines, quarantine, dead letters and everything else. What is in flight is sent. Cannot be undone. Needs role operate.",
  request: {
    params,
    query,
    body: {
      required: true,
      content: { "application/json": { schema: erasureSchema, example: { unit: "V-12" } } },
    },
  },
  responses: {
    200: {
      description: "How much of each kind is gone",
      content: {
        "application/json": {
          schema: erasedSchema,
          example: {
            tenant: "1000001",
            unit: "V-12",
            erased: {
              ...{ waiting: 3, held: 0, deadLetters: 1, quarantined: 0, ledgerBatches: 40, ledgerPings: 40 },
              ...{ devices: 1, units: 1 },
            },
          },
        },
      },
    },
    ...refusals("bad_request", "role", "not_json", "not_found", "unavailable"),
  },
});
