/** The seal keys in the environment, and what is said of wrong ones. */

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readSealKeys } from "../../src/config/seal-keys.ts";

const dir = mkdtempSync(join(tmpdir(), "waypost-seal-"));
afterAll(() => rmSync(dir, { recursive: true }));
const [ONE, TWO, THREE] = [randomBytes(32), randomBytes(32), randomBytes(32)];

test("a key may be hexadecimal or base64, in the variable or in a file, and one of two during a rotation", () => {
  expect(readSealKeys({})).toEqual({ keys: [], problems: [] });
  const hex = ONE.toString("hex");
  for (const text of [hex, ONE.toString("base64"), ONE.toString("base64url"), `${hex}\n`])
    expect(readSealKeys({ WAYPOST_SEAL_KEY: text }).keys).toEqual([ONE]);
  const file = join(dir, "seal-key");
  writeFileSync(file, `${hex}, ${TWO.toString("base64")}\n`);
  expect(readSealKeys({ WAYPOST_SEAL_KEY_FILE: file }).keys).toEqual([ONE, TWO]);
});

test.each([
  ["a short one", { WAYPOST_SEAL_KEY: "abcdef" }, "must hold keys of 32 bytes"],
  ["a typed one", { WAYPOST_SEAL_KEY: "00".repeat(32) }, "repeats itself"],
  ["the same one twice", { WAYPOST_SEAL_KEY: `${ONE.toString("hex")},${ONE.toString("hex")}` }, "twice"],
  [
    "three of them",
    { WAYPOST_SEAL_KEY: [ONE, TWO, THREE].map((key) => key.toString("hex")).join() },
    "two keys at most",
  ],
  ["a file that is not there", { WAYPOST_SEAL_KEY_FILE: "/nowhere/key" }, "cannot be read (ENOENT)"],
  [
    "both variables",
    { WAYPOST_SEAL_KEY: ONE.toString("hex"), WAYPOST_SEAL_KEY_FILE: "/nowhere/key" },
    "two ways to say one thing",
  ],
])("%s is refused, and not repeated", (_, env, words) => {
  const { keys, problems } = readSealKeys(env);
  expect(keys).toEqual([]);
  expect(problems.map(({ message }) => message).join()).toContain(words);
  expect(JSON.stringify(problems)).not.toContain(ONE.toString("hex"));
});
