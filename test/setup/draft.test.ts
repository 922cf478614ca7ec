/** A first configuration passes `check` for every vendor that needs nothing but what `init` asks, with its secrets apart. */

import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { type DraftAnswers, draftOf } from "../../src/setup/draft.ts";

/** What their portals, devices or servers decide: such a vendor is refused until options say it. */
const NEED_OPTIONS = ["json-pull", "tracksolid", "verizon-reveal"];

function answersFor({ speedUnit, pull }: (typeof adapters)[number]): DraftAnswers {
  const needs: readonly string[] = pull?.needs ?? [];
  return {
    ...{ source: "fleet", tenant: "1000001", provider: "waypost", environment: "production" },
    ...(speedUnit === "required" && { speedUnit: "mph" }),
    ...(needs.includes("baseUrl") && { baseUrl: "https://app02.linxup.com" }),
    ...(needs.includes("database") && { database: "acme" }),
  };
}

const drafts = adapters.map((adapter) => ({
  vendor: adapter.vendor,
  draft: draftOf(adapter, answersFor(adapter)),
}));

test.each(drafts)("$vendor", ({ vendor, draft }) => {
  const loaded = loadConfig({ settings: draft.settings, env: {}, adapters });
  const problems = "problems" in loaded ? loaded.problems.map(({ path }) => path) : [];
  if (NEED_OPTIONS.includes(vendor)) expect(problems).not.toEqual([]);
  else expect(problems).toEqual([]);
});

describe("its secrets", () => {
  test("stand in the file as references alone, each once", () => {
    for (const { vendor, draft } of drafts) {
      const yaml = draft.yaml(({ name }) => `\${file:secrets/${name}}`);
      for (const { name, value } of draft.secrets) {
        expect(yaml, vendor).not.toContain(value);
        expect(yaml.split(`\${file:secrets/${name}}`), `${vendor} ${name}`).toHaveLength(2);
      }
      expect(parse(yaml), vendor).toMatchObject({ destinations: { servicetitan: { tenant: "1000001" } } });
    }
  });

  test("are new each time where they are ours", () => {
    const bouncie = adapters.find(({ vendor }) => vendor === "bouncie");
    if (!bouncie) throw new Error("There is no bouncie.");
    const [one, two] = [draftOf(bouncie, answersFor(bouncie)), draftOf(bouncie, answersFor(bouncie))];
    const ours = one.secrets.filter(({ from }) => from === "us");
    expect(ours.map(({ name }) => name)).toEqual(["fleet-secret", "ops-token"]);
    for (const { name, value } of ours) {
      expect(value).toMatch(/^[0-9a-f]{48}$/);
      expect(two.secrets.find((each) => each.name === name)?.value).not.toBe(value);
    }
  });
});
