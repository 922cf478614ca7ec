/** What `npm run docs` writes is what the pages hold: every setting with its type, default and description, and every vendor. */

import { describe, expect, test } from "vitest";
import { GENERATED, settings, vendorRow, withGeneratedPart } from "../../scripts/docs.ts";
import { adapters } from "../../src/adapters/index.ts";
import { pageAt, tablesOf } from "./pages.ts";

test.each(GENERATED.map(({ file, generate }) => [file, generate] as const))(
  "%s holds what the code says; if not, run `npm run docs`",
  (file, generate) => {
    const { text } = pageAt(file);
    expect(text).toBe(withGeneratedPart(text, generate()));
  },
);

describe("settings", () => {
  const all = settings();

  test("each is said to be for something", () => {
    expect(all.length).toBeGreaterThan(80);
    for (const { name, description } of all) expect(description, name).toMatch(/\w{3,}/);
  });

  test("each stands in the page with its type and its default, once, and nothing else does", () => {
    const page = pageAt("docs/configuration.md").text;
    const sections = page.split(/^### /m).slice(1);
    const named = sections.flatMap((section) => {
      const [heading = ""] = section.split("\n");
      const prefix = /^`([^`]+)`/.exec(heading)?.[1];
      const own = [...section.replaceAll("\n  ", " ").matchAll(/^- \*\*`([^`]+)`\*\* \((.*?)\): \S/gm)];
      return own.map(
        ([, name = "", what = ""]) => `${prefix === undefined ? name : `${prefix}.${name}`} | ${what}`,
      );
    });
    const expected = all.map(({ name, type, fallback }) => {
      const end = fallback === "–" ? "" : fallback === "required" ? "; required" : `; default ${fallback}`;
      return `${name} | ${type}${end}`;
    });
    expect(named.sort()).toEqual(expected.sort());
  });
});

describe("vendors", () => {
  const page = pageAt("docs/vendors.md");

  test("are those of the list, as their adapters describe themselves", () => {
    const table = tablesOf(page).find(({ head }) => head[0] === "vendor");
    expect(table?.rows.map((row) => row.join(" | "))).toEqual(
      adapters.map((adapter) => vendorRow(adapter).join(" | ")),
    );
    for (const { vendor, docs } of adapters)
      expect(page.text).toContain(`[${vendor}]: ${docs.startsWith("http") ? docs : `../${docs}`}\n`);
  });

  test("that are asked say what a source has to give, and each how well it is known", () => {
    const row = (name: string) =>
      adapters
        .filter(({ vendor }) => vendor === name)
        .map(vendorRow)[0]
        ?.slice(1);
    expect(row("webfleet")).toEqual(["pull", "username, secret, query.account, query.apikey", "kph, C"]);
    expect(row("geotab")?.[1]).toBe("secret, username, database");
    expect(row("wialon")).toEqual(["pull", "secret", "kph, S"]);
    expect(row("samsara")).toEqual(["webhook", "hmac-sha256", "none, D"]);
    for (const { vendor, transports } of adapters.filter(({ vendor }) => vendor !== "json-pull"))
      if (transports.includes("pull")) expect(row(vendor)?.[1], vendor).toContain("secret");
  });

  test("say what each ignores, what is not known of it, and how well its format is known", () => {
    const flat = page.text.replaceAll("\n  ", " ");
    for (const { vendor, ignores } of adapters)
      if (ignores !== undefined) expect(flat).toContain(`- **${vendor}**: ${ignores}.`);
    for (const { vendor, unknown } of adapters)
      if (unknown !== undefined) expect(flat).toContain(`- **${vendor}**: ${unknown}.`);
    for (const { vendor, evidence } of adapters)
      expect(flat, vendor).toMatch(new RegExp(`- \\*\\*${evidence}\\*\\* – .*[ ]${vendor}[,.]`));
  });

  test("are all in the README, and no others", () => {
    const [, section = ""] = /## Vendors\n[\s\S]*?-->\n\n([\s\S]*?)\n\n/.exec(pageAt("README.md").text) ?? [];
    expect(section.split(/,\s+/)).toEqual(adapters.map(({ vendor }) => vendor));
  });
});
