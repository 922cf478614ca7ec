/** The page on polling names every setting under `pull` and no other, and each of its examples is a source that works. */

import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { adapters } from "../../src/adapters/index.ts";
import { pullSettings } from "../../src/adapters/json-pull/settings.ts";
import { loadConfig } from "../../src/config/load.ts";
import { examine } from "../support/decode.ts";
import { blocksOf, pageAt } from "./pages.ts";

const page = pageAt("docs/polling.md");
const shown = blocksOf(page)
  .filter(({ language }) => language === "yaml")
  .map(({ text }) =>
    z.record(z.string(), z.unknown()).parse(parse(text.replaceAll(/\$\{(\w+)\}/g, "$1-7c1e90"))),
  );
const wholes = Object.entries(Object.assign({}, ...shown.filter((block) => !("pull" in block))));
const parts = shown.filter((block) => "pull" in block);

describe("settings under pull", () => {
  const all = keysOf(z.toJSONSchema(pullSettings, { io: "input", unrepresentable: "any" }), "");
  // What is the same in each of the three requests stands in the page once.
  const known = new Set(
    all.map((key) =>
      key.replace(/^(?:login|lookup)\.(?=(\w+)$)/, (at, name) =>
        all.includes(name) && name !== "answers" ? "" : at,
      ),
    ),
  );
  const named = [...page.text.matchAll(/^- \*\*`([\w.<>]+)`\*\*/gm)].flatMap(([, name = ""]) => name);

  test("stand in the page, each once, and no others", () => {
    const own = named.filter((name) => !name.startsWith("poll_"));
    expect(known.size).toBeGreaterThan(45);
    expect(own.sort()).toEqual([...known].sort());
  });
});

describe("examples", () => {
  test("of whole sources are there: the first, and six of vendors", () => {
    expect(wholes).toHaveLength(7);
    expect(parts.length).toBeGreaterThan(8);
  });

  test.each(wholes)("%s passes the check", (name, source) => {
    expect(loaded({ [name]: source }).problems).toEqual([]);
  });

  test.each(parts.map((part) => [JSON.stringify(part).slice(0, 100), part] as const))(
    "%s passes it in a source that has the rest",
    (_, { pull, options }) => {
      const text = JSON.stringify(pull);
      const asksByToken = text.includes("{secret}");
      const account = {
        ...((asksByToken || text.includes('"basic":true')) && { secret: "7c1e90b4a2d85f36" }),
        ...((text.includes("{username}") || text.includes('"basic":true')) && { username: "acme" }),
      };
      const source = {
        vendor: "json-pull",
        destination: "acme",
        speedUnit: "mph",
        ...(Object.keys(account).length > 0 && { auth: account }),
        pull: { baseUrl: "https://api.acme.example", path: "/v1/positions", ...record.parse(pull) },
        options: options ?? { deviceId: "id" },
      };
      expect(loaded({ acme: source }).problems).toEqual([]);
    },
  );

  test("the first reads the answer that stands above it", () => {
    const [[, first] = []] = wholes;
    const { sources } = loaded({ acme: first });
    const { speedUnit, options } = sources?.acme ?? {};
    const adapter = adapters.find(({ vendor }) => vendor === "json-pull");
    const answer = blocksOf(page).find(({ language }) => language === "json")?.text ?? "";
    const message = {
      body: Buffer.from(answer),
      receivedAt: Date.parse("2026-11-30T10:16:00Z"),
      headers: {},
      query: {},
      retained: false,
    };
    expect(adapter && examine(adapter, message, { speedUnit, options })).toMatchObject({
      readings: [
        { deviceId: "A-7", latitude: 39.7392, longitude: -104.9903, speedMps: 16.09344, headingDeg: 90 },
      ],
    });
  });
});

const record = z.record(z.string(), z.unknown());

function loaded(sources: Record<string, unknown>) {
  const destination = { tenant: "1", provider: "p", appKey: "a", clientId: "c", clientSecret: "s" };
  const settings = { ops: { token: "5f0c2a96d3b14e7a" }, sources, destinations: { acme: destination } };
  const result = loadConfig({ settings, env: {}, adapters });
  return "problems" in result
    ? { problems: [...result.problems] }
    : { problems: [], sources: result.config.sources };
}

/** Of all shapes that a setting may have. */
const node = z.looseObject({
  properties: z.record(z.string(), z.unknown()).optional(),
  additionalProperties: z.unknown().optional(),
  anyOf: z.array(z.unknown()).optional(),
  oneOf: z.array(z.unknown()).optional(),
});

/** Sections and settings; where an operator chooses the name of a section, it is `<name>`. */
function keysOf(schema: unknown, at: string): string[] {
  const { properties, additionalProperties, anyOf = [], oneOf = [] } = node.parse(schema);
  const inside = node.safeParse(additionalProperties).data;
  return [
    ...Object.entries(properties ?? {}).flatMap(([key, value]) => {
      const name = at === "" ? key : `${at}.${key}`;
      // An answer to a login is described as any other.
      const own = name === "login.answers" ? [] : keysOf(value, name);
      return own.some((each) => each.startsWith(`${name}.<name>`)) ? own : [name, ...own];
    }),
    ...(inside?.properties ? keysOf(inside, `${at}.<name>`) : []),
    ...[...anyOf, ...oneOf].flatMap((each) => keysOf(each, at)),
  ];
}
