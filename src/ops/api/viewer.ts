/** The viewer of the API's description: Swagger UI from its package, so that it works without any other host. */

import { readFileSync } from "node:fs";
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { OpsEnv } from "../access/sight.ts";

const JS = "text/javascript; charset=utf-8";

/** Read as files, not run here. */
const FILES = [
  {
    name: "swagger-ui.css",
    contentType: "text/css; charset=utf-8",
    url: import.meta.resolve("swagger-ui-dist/swagger-ui.css"),
  },
  {
    name: "swagger-ui-bundle.js",
    contentType: JS,
    url: import.meta.resolve("swagger-ui-dist/swagger-ui-bundle.js"),
  },
] as const;

/** Swagger UI sets style attributes and has its pictures in its style sheet; everything else is as on every page. */
const VIEWER_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Waypost API</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/api/v1/docs/swagger-ui.css">
<script src="/api/v1/docs/swagger-ui-bundle.js" defer></script>
<script src="/api/v1/docs/viewer.js" defer></script>
</head>
<body><main id="viewer"></main></body>
</html>
`;

const SCRIPT = `window.SwaggerUIBundle({ url: "/api/v1/openapi.json", dom_id: "#viewer", deepLinking: true, validatorUrl: null });
`;

export function serveViewer(api: OpenAPIHono<OpsEnv>): void {
  api.get("/docs", (c) => {
    c.set("contentSecurityPolicy", VIEWER_POLICY);
    return c.html(PAGE);
  });
  api.get("/docs/viewer.js", (c) => c.body(SCRIPT, 200, { "content-type": JS }));
  for (const { name, contentType, url } of FILES) {
    // 1.9 MB that hardly anybody asks for: read each time rather than held.
    api.get(`/docs/${name}`, (c) => c.body(readFileSync(new URL(url)), 200, { "content-type": contentType }));
  }
}
