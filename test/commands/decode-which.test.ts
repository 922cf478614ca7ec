/** The adapters that `decode` names where none was named or the wrong one was: the right one first. */

import { describe, expect, it } from "vitest";
import { adapters } from "../../src/adapters/index.ts";
import { decodeMessages } from "../../src/commands/decode-messages.ts";
import { type Candidate, suggestion, whichRead } from "../../src/commands/decode-which.ts";
import { examine } from "../support/decode.ts";
import { type Fixture, fixturesOf } from "../support/fixtures.ts";

const withReadings = adapters.flatMap((adapter) =>
  fixturesOf(adapter).flatMap((fixture) => {
    const bare = { speedUnit: undefined, options: adapter.options?.safeParse(undefined).data };
    const messages = [...fixture.before, fixture.message];
    // What needs the source's own options to be read is found by nobody who does not have them.
    const isReadable = messages.some((message) => examine(adapter, message, bare).readings.length > 0);
    return isReadable ? [{ vendor: adapter.vendor, fixture, messages }] : [];
  }),
);

describe("the adapters that read a message", () => {
  it("begin with its vendor's own, for every fixture with a position", () => {
    expect(new Set(withReadings.map(({ vendor }) => vendor)).size).toBeGreaterThan(adapters.length * 0.9);
    const found = withReadings.map(({ vendor, fixture, messages }) => {
      const candidates = whichRead(messages, {});
      const own = candidates.find((candidate) => candidate.vendor === vendor);
      return { name: fixture.name, own, best: candidates[0] };
    });
    // Two vendors of one format may change places, but nobody reads it better than its own.
    const counts = ({ readings, rejections, defects }: Candidate) => [readings, rejections, defects];
    for (const { name, own, best } of found) expect(own && counts(own), name).toEqual(best && counts(best));
    expect(found.filter(({ own, best }) => own === best).length).toBeGreaterThan(found.length * 0.9);
  });

  it("are none for what has no position", () => {
    for (const body of ["", "{}", "[]", "hello", '{"type":"position"}']) {
      const message = {
        body: Buffer.from(body),
        receivedAt: 0,
        retained: false,
        headers: {},
        query: {},
        method: "POST",
      };
      expect(whichRead([message], {})).toEqual([]);
      expect(suggestion([], {})).toEqual([expect.stringMatching(/No adapter reads a position out of it/)]);
    }
  });

  it("are named with what they read, and with a command that can be pasted", () => {
    const candidates = [
      { vendor: "motive", readings: 2, rejections: 1, defects: 1, needsSpeedUnit: true, isOwn: true },
      { vendor: "json", readings: 1, rejections: 0, defects: 0, needsSpeedUnit: false, isOwn: false },
    ];
    expect(
      suggestion(candidates, { topic: "it's/a b", receivedAt: "2026-10-26T18:00:00Z", retained: true }),
    ).toEqual([
      "These adapters read it, best first:",
      "  motive: 2 readings, 1 rejected, 1 field defect; state its UNIT of speed (mph, kph, mps, knots)",
      "  json: 1 reading",
      "Next: waypost decode motive --topic 'it'\\''s/a b' --speed-unit UNIT --received-at 2026-10-26T18:00:00Z --retained < message",
    ]);
  });
});

describe("decode", () => {
  const [motive] = withReadings.filter(({ vendor }) => vendor === "motive");
  const fixture = (motive as { fixture: Fixture }).fixture;

  async function decoded(vendor: string | null, body: string) {
    const notes: string[] = [];
    const request = { vendor, contentType: "application/json", note: (line: string) => notes.push(line) };
    const result = await decodeMessages(request, Buffer.from(body)).catch((error: Error) => error.message);
    return { result, notes: notes.join("\n") };
  }

  it.each([
    [null, /^No vendor was named\.$/],
    ["nobody", /^No adapter for nobody\. There are: /],
  ])("with the vendor %s names who reads the message", async (vendor, message) => {
    const { result, notes } = await decoded(vendor, fixture.body);
    expect(result).toMatch(message);
    expect(notes).toMatch(/best first:\n {2}motive: .*\n(.*\n)*Next: waypost decode motive /);
  });

  it("with a vendor that cannot read it names who can, and answers as before", async () => {
    const { result, notes } = await decoded("samsara", fixture.body);
    expect(result).toEqual({ kind: "malformed", readings: [], rejections: [] });
    expect(notes).toMatch(/Next: waypost decode motive /);
    expect(notes).not.toMatch(/^ {2}samsara/m);
  });

  it("says nothing of others where the vendor was right", async () => {
    expect((await decoded("motive", fixture.body)).notes).not.toMatch(/Next:/);
    const ignored = await decoded("bouncie", '{"eventType":"tripEnd"}');
    expect(ignored.notes).toBe("ignored: tripEnd");
  });
});
