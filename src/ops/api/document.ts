/** The OpenAPI document, made of the schemas that check requests and describe answers. */

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { OpsEnv } from "../access/sight.ts";
import type { TAGS } from "./routes.ts";

const DESCRIPTIONS: Record<(typeof TAGS)[keyof typeof TAGS], string> = {
  Gateway: "The gateway as a whole.",
  Tenants: "Tenants, and the sources and destinations they consist of.",
  Devices: "Single devices.",
  Pings: "Where positions went.",
  "Set aside": "What could not be decoded, and what ServiceTitan refused for good.",
  Operators: "What operators did, and what they may set.",
};

export function describeApi(api: OpenAPIHono<OpsEnv>, version: string): void {
  api.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    description: "A token of ops.token or ops.tokens.",
  });
  api.openAPIRegistry.registerComponent("securitySchemes", "session", {
    type: "apiKey",
    in: "cookie",
    name: "waypost_session",
    description: "The session of a browser that has logged in; under TLS its name begins with `__Host-`.",
  });
  api.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: {
      title: "Waypost ops API",
      version,
      description:
        "What the gateway knows and lets operators do. Long lists have cursors: ask again with `cursor` set to `next`. Errors are problem details of RFC 9457.",
      license: { name: "MIT", url: "https://spdx.org/licenses/MIT.html" },
    },
    servers: [{ url: "/api/v1", description: "The gateway that serves this document." }],
    security: [{ token: [] }, { session: [] }],
    tags: Object.entries(DESCRIPTIONS).map(([name, description]) => ({ name, description })),
  });
}
