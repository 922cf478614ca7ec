/** The version stands in package.json alone, and the code reads it there. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { USER_AGENT, VERSION } from "../src/version.ts";

test("the version is package.json's, and requests carry it", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  expect(VERSION).toBe(version);
  expect(USER_AGENT).toBe(`waypost/${version}`);
});
