/** The API's description: it passes a linter, and every example in it is run. */

import { z } from "@hono/zod-openapi";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { describe, expect, it } from "vitest";
import { type ErrorBody, errorSchema } from "../../../src/ops/api/errors.ts";
import { BEARER, opsApp, TOKEN } from "../ops-app.ts";
import { destination, healthy, source, unitAnswer, wholeMessage } from "../sample.ts";

const parameterSchema = z.object({
  name: z.string(),
  in: z.enum(["query", "path", "header"]),
  required: z.boolean(),
  description: z.string().optional(),
  schema: z.object({ example: z.unknown().optional() }),
});
const media = z.object({ example: z.unknown(), schema: z.looseObject({}) });
const operationSchema = z.object({
  operationId: z.string(),
  summary: z.string().min(5),
  description: z.string().min(5),
  tags: z.array(z.string()).length(1),
  parameters: z.array(parameterSchema).default([]),
  requestBody: z.object({ content: z.record(z.string(), media) }).optional(),
  responses: z.record(z.string(), z.object({ content: z.record(z.string(), media) })),
});
const documentSchema = z.looseObject({
  openapi: z.literal("3.1.0"),
  paths: z.record(z.string(), z.record(z.string(), operationSchema)),
  components: z.looseObject({ schemas: z.record(z.string(), z.unknown()) }),
});

/** The fleet of the examples, at the gateway that answers. */
function seeded() {
  const ops = opsApp({
    topology: {
      destinations: ["acme"],
      sources: new Map([["vans", { destination: "acme", broker: null }]]),
    },
    queryUnit: async () => unitAnswer(),
    queryMessage: async () => wholeMessage(),
  });
  ops.state.status = healthy({
    sources: [source({ name: "vans", destination: "acme" })],
    destinations: [destination({ name: "acme", tenant: "1000001" })],
  });
  return ops;
}

const { app } = seeded();
const text = await (await app.request("/api/v1/openapi.json", BEARER)).text();
const document = documentSchema.parse(JSON.parse(text));
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

/** A zod schema of one answer, made of the document itself: what it says is what is checked. */
function schemaOf(schema: object): z.ZodType {
  return z.fromJSONSchema(strict({ ...schema, $defs: document.components.schemas }));
}

/** Names of the components become definitions, and an object may have nothing that is not described. */
function strict(schema: unknown): never {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).flatMap(([key, each]) => {
      // Examples and discriminators say nothing that has to be checked.
      if (key === "example" || key === "discriminator") return [];
      if (key === "$ref" && typeof each === "string")
        return [[key, each.replace("#/components/schemas/", "#/$defs/")]];
      return [[key, walk(each)]];
    });
    const walked: Record<string, unknown> = Object.fromEntries(entries);
    const isObject = [walked.type].flat().includes("object") && "properties" in walked;
    return isObject && !("allOf" in walked) ? { ...walked, additionalProperties: false } : walked;
  };
  return walk(schema) as never;
}

describe("the description of the API", () => {
  it("passes the linter", async () => {
    const config = await createConfig({ extends: ["recommended"] });
    const problems = await lintFromString({ source: text, absoluteRef: "openapi.json", config });
    expect(
      problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`),
    ).toEqual([]);
  });

  it("describes every route, and every route it describes is there", () => {
    const served = opsApp()
      .app.routes.filter(({ method, path }) => method !== "ALL" && path.startsWith("/api/v1/"))
      .map(({ method, path }) => `${method} ${path.replace("/api/v1", "").replaceAll(/:(\w+)/g, "{$1}")}`)
      .filter((route) => !/^GET \/(openapi\.json|docs.*)?$/.test(route));
    expect(operations.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(
      [...new Set(served)].sort(),
    );
  });

  it("gives every parameter but the cursor a description, and an example where one can be given", () => {
    for (const { path, operation } of operations) {
      for (const { name, description, schema } of operation.parameters) {
        if (name === "cursor") continue;
        const isPair = path === "/timeline" && name !== "q";
        expect(isPair || schema.example !== undefined, `${path} ${name}`).toBe(true);
        expect(description ?? "", `${path} ${name}`).toMatch(/./);
      }
    }
  });
});

describe.each(operations)("$method $path", ({ path, method, operation }) => {
  it("has examples that its schemas accept", () => {
    const contents = [
      ...(operation.requestBody ? [operation.requestBody.content] : []),
      ...Object.values(operation.responses).map(({ content }) => content),
    ];
    for (const content of contents) {
      for (const { example, schema } of Object.values(content)) {
        expect(example).toBeDefined();
        expect(schemaOf(schema).parse(example)).toEqual(example);
      }
    }
  });

  it("answers the example's request with what it describes", async () => {
    const ops = seeded();
    const given = operation.parameters.filter(({ schema }) => schema.example !== undefined);
    const at = given
      .filter((parameter) => parameter.in === "path")
      .reduce((url, { name, schema }) => url.replace(`{${name}}`, String(schema.example)), path);
    const query = new URLSearchParams(
      given
        .filter((parameter) => parameter.in === "query")
        .map(({ name, schema }): [string, string] => [name, String(schema.example)]),
    );
    const headers = given
      .filter((parameter) => parameter.in === "header")
      .map(({ name, schema }): [string, string] => [name, String(schema.example)]);
    const body = operation.requestBody?.content["application/json"]?.example;
    const answer = await ops.app.request(`/api/v1${at}?${method === "GET" ? query : ""}`, {
      method,
      headers: {
        authorization: `Bearer ${TOKEN}`,
        "content-type": "application/json",
        ...Object.fromEntries(headers),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    expect(answer.status).toBe(200);
    const [type, described] = Object.entries(operation.responses["200"]?.content ?? {})[0] ?? [];
    expect(answer.headers.get("content-type")).toContain(type);
    if (type !== "application/json") return void (await answer.body?.cancel());
    const found: unknown = await answer.json();
    expect(schemaOf(described?.schema ?? {}).parse(found)).toEqual(found);
  });

  it("describes the refusal it gives to what is not asked for", async () => {
    const answer = await seeded().app.request(`/api/v1${path.replaceAll(/\{\w+\}/g, "1-1")}?nonsense=1`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      ...(method === "GET" ? {} : { body: "{" }),
    });
    expect(Object.keys(operation.responses)).toContain(String(answer.status));
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
    const error: ErrorBody = errorSchema.parse(JSON.parse(await answer.text()));
    expect(error.status).toBe(answer.status);
    if (method === "GET" && answer.status === 400)
      expect(error.errors?.map(({ parameter }) => parameter)).toContain("nonsense");
  });
});
