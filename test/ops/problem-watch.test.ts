/** Problems are reported once when they begin and once when they end, though nobody asks. */

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createLasting } from "../../src/ops/diagnose/lasting.ts";
import { error, type Finding, warning } from "../../src/ops/diagnose/problem.ts";
import { startProblemWatch } from "../../src/ops/problem-watch.ts";
import {
  noStatus,
  processStatus,
  type StatusDocument,
  statusDocument,
} from "../../src/ops/status-document.ts";
import { AT, healthy } from "./sample.ts";

const EVERY_MS = 2500;
const PROCESS = processStatus({ version: "1.0.0", startedAtMs: 0, policies: [] }, 0);
const BESIDE = {
  brokers: [],
  pollers: [],
  spool: null,
  clocks: [],
  incidents: [],
  mapping: null,
  processes: [],
  policies: [],
};

const silent = warning("source_silent", "source vans", { what: "It is silent.", doNext: "Look." });
const orphaned = error("orphaned_pings", "destination old", {
  what: "3 pings wait.",
  doNext: "Put it back.",
});

let found: Finding[];
let fault: "none" | "away" | "broken";
let told: { name: string; kind?: string; where?: string; since?: string }[];
let watch: { stop(): void };

beforeEach(() => {
  vi.useFakeTimers();
  [found, fault, told] = [[], "none", []];
  const lasting = createLasting();
  watch = startProblemWatch({
    async status() {
      if (fault === "broken") throw new Error("broken");
      if (fault === "away") {
        return noStatus({ queue: null, ...BESIDE }, PROCESS, lasting, { detail: "gone", isDown: true });
      }
      const status: StatusDocument = statusDocument(
        { queue: healthy(), process: PROCESS, ...BESIDE },
        lasting,
      );
      return { ...status, problems: lasting.problemsOf(found, Date.parse(AT)) };
    },
    events: {
      problemBegan: (event) => told.push({ name: "began", ...event }),
      problemEnded: (event) => told.push({ name: "ended", ...event }),
      failed: ({ where }) => told.push({ name: "failed", where }),
    },
  });
});
afterEach(() => {
  watch.stop();
  vi.useRealTimers();
});

const look = () => vi.advanceTimersByTimeAsync(EVERY_MS);

it("tells a problem once, with all that an operator needs, and its end once", async () => {
  await look();
  expect(told).toEqual([]);
  found = [silent];
  await look();
  await look();
  const { kind, severity, where, whose, what, doNext } = silent;
  expect(told).toEqual([{ name: "began", kind, severity, where, whose, what, doNext, since: AT }]);
  found = [];
  await look();
  await look();
  expect(told.slice(1)).toEqual([{ name: "ended", kind, where, whose, since: AT }]);
});

it("tells one from another, and tells again what comes back", async () => {
  found = [silent, orphaned];
  await look();
  found = [orphaned];
  await look();
  found = [orphaned, silent];
  await look();
  expect(told.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
    "began source_silent",
    "began orphaned_pings",
    "ended source_silent",
    "began source_silent",
  ]);
});

it("calls nothing ended while Redis is away, and goes on after a fault", async () => {
  found = [silent];
  await look();
  fault = "away";
  await look();
  fault = "broken";
  await look();
  fault = "none";
  await look();
  expect(told.map(({ name, where }) => `${name} ${where}`)).toEqual(["began source vans", "failed problems"]);
});

it("looks no more once it is stopped", async () => {
  watch.stop();
  found = [silent];
  await look();
  expect(told).toEqual([]);
});
