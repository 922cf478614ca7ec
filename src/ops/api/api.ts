/** The API under /api/v1: its groups of routes, its description, and its answers to everything else. */

import { OpenAPIHono } from "@hono/zod-openapi";
import { bodyLimit } from "hono/body-limit";
import type { OpsEnv } from "../access/sight.ts";
import { serveCaptures } from "./capture-routes.ts";
import { serveDevices } from "./device-routes.ts";
import { describeApi } from "./document.ts";
import { badRequest, methodNotAllowed, refused } from "./errors.ts";
import { serveEvents } from "./event-routes.ts";
import { serveGateway } from "./gateway-routes.ts";
import { serveOperators } from "./operator-routes.ts";
import { servePings } from "./ping-routes.ts";
import { serveReload } from "./reload-routes.ts";
import type { ApiDeps } from "./routes.ts";
import { serveSetAside } from "./set-aside-routes.ts";
import { serveTenantChanges } from "./tenant-change-routes.ts";
import { serveTenantLinks } from "./tenant-links-and-erasures.ts";
import { serveTenants } from "./tenant-routes.ts";
import { serveViewer } from "./viewer.ts";

export const API_PATH = "/api/v1";

/** A filter of a redrive; a longer body is none. */
const MAX_BODY_BYTES = 65_536;
/** A tenant may bring 10,000 rows of mapping. */
const MAX_TENANT_BYTES = 4_194_304;
const TENANT_PATHS = /\/tenants(\/[^/]+\/document)?$/;

export function createApi(deps: ApiDeps): OpenAPIHono<OpsEnv> {
  const api = new OpenAPIHono<OpsEnv>({
    defaultHook: (result, c) => (result.success ? undefined : badRequest(c, result.error)),
  });
  const limited = (maxSize: number) => bodyLimit({ maxSize, onError: (c) => refused(c, "too_large") });
  const [usual, ofTenants] = [limited(MAX_BODY_BYTES), limited(MAX_TENANT_BYTES)];
  api.use((c, next) => (TENANT_PATHS.test(c.req.path) ? ofTenants : usual)(c, next));
  serveGateway(api, deps);
  serveEvents(api, deps);
  serveTenants(api, deps);
  serveTenantChanges(api, deps);
  serveTenantLinks(api, deps);
  serveDevices(api, deps);
  servePings(api, deps);
  serveSetAside(api, deps);
  serveCaptures(api, deps);
  serveOperators(api, deps);
  serveReload(api, deps);
  describeApi(api, deps.version);
  serveViewer(api);
  refuseTheRest(api);
  return api;
}

/** A path that there is answers 405 to other methods, and says which it takes. */
function refuseTheRest(api: OpenAPIHono<OpsEnv>): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of api.routes) {
    if (method === "ALL") continue;
    const known = methods.get(path) ?? new Set();
    methods.set(path, known.add(method));
    // Hono answers HEAD by the handler of GET.
    if (method === "GET") known.add("HEAD");
  }
  for (const [path, known] of methods) api.all(path, (c) => methodNotAllowed(c, known));
  api.all("*", (c) => refused(c, "not_found", "There is no such path: GET /api/v1/openapi.json lists all."));
}
