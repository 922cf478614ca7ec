/** The page on polling names every setting under `pull` and no other, and each of its examples is a source that works. */

import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { adapters } from "../../src/adapters/index.ts";
import { pullOf } from "../../src/adapters/json-pull/pull.ts";
import { pullSettings } from "../../src/adapters/json-pull/settings.ts";
import { template } from "../../src/adapters/json-pull/template.ts";
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
  const all = settingsIn(z.toJSONSchema(pullSettings, { io: "input", unrepresentable: "any" }), "");
  const common = new Set(all.map(({ name }) => name));
  // What is the same in each of the three requests stands in the page once.
  const known = new Map(
    all.map(({ name, fallback }) => [
      name.replace(/^(?:login|lookup)\.(?=(\w+)$)/, (at, last) =>
        common.has(last) && last !== "answers" ? "" : at,
      ),
      fallback,
    ]),
  );
  const named = [...page.text.replaceAll("\n  ", " ").matchAll(/^- \*\*`([\w.<>]+)`\*\*(?: \(([^)]*)\))?/gm)]
    .map(([, name = "", what = ""]) => ({ name, what }))
    .filter(({ name }) => !name.startsWith("poll_"));

  test("stand in the page, each once, and no others", () => {
    expect(known.size).toBeGreaterThan(45);
    expect(named.map(({ name }) => name).sort()).toEqual([...known.keys()].sort());
  });

  test("stand there with their defaults, and without where there is none", () => {
    expect([...known.values()].filter((fallback) => fallback !== undefined).length).toBeGreaterThan(8);
    const baseUrl = "https://api.acme.example";
    const asked = pullOf({ ...pullSettings.parse({ baseUrl, path: "/" }), baseUrl });
    const filledIn = new Map<string, unknown>([
      ["intervalMs", asked.intervalMs],
      ["minGapMs", asked.minGapMs],
    ]);
    for (const { name, what } of named) {
      const said = /default `?([\w ]+)/.exec(what)?.[1];
      // Two are filled in by the poller, behind the schema.
      const fallback = filledIn.get(name) ?? known.get(name);
      if (Array.isArray(fallback)) expect(said, name).toBe("none");
      else if (typeof fallback !== "object")
        expect(said, name).toBe(fallback === undefined ? undefined : String(fallback));
    }
  });

  test("have the placeholders that the page lists", () => {
    const names = (text: string) =>
      new Set([...text.matchAll(/`\{([a-z]+)(?:\.[a-z]+)?\}`/g)].map(([, name]) => name));
    const message = template.safeParse("{nothing}").error?.issues[0]?.message ?? "";
    const [, list = ""] = /there are (.*), kept/.exec(message) ?? [];
    const [, section = ""] = /### Placeholders\n([\s\S]*?)\n\*\*Encoding/.exec(page.text) ?? [];
    expect([...names(section)].sort()).toEqual(list.split(", ").sort());
    for (const [, spelling] of section.matchAll(/`\{since(\.[a-z]+)?\}`/g))
      expect(template.safeParse(`{since${spelling ?? ""}}`).success, spelling).toBe(true);
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
  default: z.unknown().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  additionalProperties: z.unknown().optional(),
  anyOf: z.array(z.unknown()).optional(),
  oneOf: z.array(z.unknown()).optional(),
});

/** Sections and settings; where an operator chooses the name of a section, it is `<name>`. */
function settingsIn(schema: unknown, at: string): { name: string; fallback: unknown }[] {
  const { properties, additionalProperties, anyOf = [], oneOf = [] } = node.parse(schema);
  const inside = node.safeParse(additionalProperties).data;
  return [
    ...Object.entries(properties ?? {}).flatMap(([key, value]) => {
      const name = at === "" ? key : `${at}.${key}`;
      // An answer to a login is described as any other.
      const own = name === "login.answers" ? [] : settingsIn(value, name);
      const isNamed = own.some((each) => each.name.startsWith(`${name}.<name>`));
      return isNamed ? own : [{ name, fallback: node.parse(value).default }, ...own];
    }),
    ...(inside?.properties ? settingsIn(inside, `${at}.<name>`) : []),
    ...[...anyOf, ...oneOf].flatMap((each) => settingsIn(each, at)),
  ];
}
