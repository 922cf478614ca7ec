/** Which devices a login may speak for: its own by default, those of its patterns otherwise, and to the letter. */

import { describe, expect, test } from "vitest";
import { speaksForOf } from "../../src/ingest/speaks-for.ts";

describe("by default", () => {
  test.each(["van-41", "van-41/phone", "x/van-41", "x/van-41/y", "/van-41", "van-41/"])(
    "van-41 speaks for %s",
    (id) => {
      expect(speaksForOf("van-41")(id)).toBe(true);
    },
  );

  test.each([
    ...["van-4", "van-410", "xvan-41", "van-41-2", "van-410/phone", "VAN-41", "van-41 ", " van-41"],
    ...["v\u0430n-41", "van\u201041", "van-41\u0301", "van-4/1", "van-41x/phone", "van-41.phone", "", "/"],
  ])("van-41 does not speak for %j", (id) => {
    expect(speaksForOf("van-41")(id)).toBe(false);
  });

  test("a star in a username is a star", () => {
    expect(speaksForOf("*")("van-1")).toBe(false);
    expect(speaksForOf("*")("*")).toBe(true);
  });
});

describe("with patterns", () => {
  test.each([
    [["*"], "anything/at all", true],
    [["yard/*"], "yard/phone-1", true],
    [["yard/*"], "yard", false],
    [["yard/*"], "x/yard/phone-1", false],
    [["*-van"], "red-van", true],
    [["*-van"], "red-van-2", false],
    [["a*b*c"], "a1b2c", true],
    [["a*b*c"], "ac", false],
    [["a*b*bc"], "abc", false],
    [["ab*ba"], "aba", false],
    [["a.c"], "abc", false],
    [["[a]"], "a", false],
    [["x", "van-2"], "van-2", true],
    // The username counts for nothing beside what is listed.
    [["x"], "van-41", false],
  ])("%j for %s: %s", (patterns, id, may) => {
    expect(speaksForOf("van-41", patterns)(id)).toBe(may);
  });

  test("an id made to take long takes no time", () => {
    const speaks = speaksForOf("x", [`${"*a".repeat(60)}*b`]);
    const begun = process.cpuUsage().user;
    expect(speaks("a".repeat(250_000))).toBe(false);
    expect(process.cpuUsage().user - begun).toBeLessThan(2_000_000);
  });
});
