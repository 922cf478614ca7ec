/** The page about the API names every error type, and each of its requests is run. */

import { describe, expect, test } from "vitest";
import { ERRORS } from "../../src/ops/api/errors.ts";
import { opsApp, TOKEN } from "../ops/ops-app.ts";
import { destination, healthy, source, unitAnswer, wholeMessage } from "../ops/sample.ts";
import { pageAt } from "./pages.ts";

const { text } = pageAt("docs/api.md");
const ofTenants = pageAt("docs/tenants.md").text;

test("it names every error type with its status, and no other", () => {
  const named = [...text.matchAll(/^- `(\w+)` \((\d{3})\):/gm)].map(
    ([, type, status]) => `${type} ${status}`,
  );
  expect(named.sort()).toEqual(
    Object.entries(ERRORS)
      .map(([type, { status }]) => `${type} ${status}`)
      .sort(),
  );
});

const reads = [...`${text}\n${ofTenants}`.matchAll(/^api '([^']+)'$/gm)].map(
  ([, path]) => ["GET", path, null] as const,
);
const changes = [...`${text}\n${ofTenants}`.matchAll(/^send (\w+) '([^']+)' '([^']+)'$/gm)].map(
  ([, method, path, body]) => [method, path, body] as const,
);

describe("its requests", () => {
  test("cover every path of the description but the stream", async () => {
    const { app } = opsApp();
    const answer = await app.request("/api/v1/openapi.json", {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const { paths }: { paths: object } = JSON.parse(await answer.text());
    const patterns = [...reads, ...changes].map(([, path = ""]) => path.split("?")[0] ?? "");
    const missing = Object.keys(paths).filter(
      (path) =>
        !patterns.some((asked) => new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(asked)),
    );
    expect(missing).toEqual(["/events"]);
  });

  test.each([...reads, ...changes])("%s %s is answered", async (method, path, body) => {
    const { app, state } = opsApp({
      topology: {
        destinations: ["acme"],
        sources: new Map([["vans", { destination: "acme", broker: null }]]),
      },
      queryUnit: async () => unitAnswer(),
      queryMessage: async () => wholeMessage(),
    });
    state.status = healthy({
      sources: [source({ name: "vans", destination: "acme" })],
      destinations: [destination({ name: "acme", tenant: "1000001" })],
    });
    const answer = await app.request(`/api/v1${path}`, {
      method: method ?? "GET",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json", "if-match": "*" },
      ...(typeof body === "string" ? { body } : {}),
    });
    expect(answer.status).toBe(200);
  });
});
