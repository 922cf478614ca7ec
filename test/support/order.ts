/** Starts the longest test files first: one that is started last would run alone, while the other worker waits. */

import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Half a minute and more each, the longest first. */
const LONGEST = [
  "end-to-end/kills",
  "ops/page",
  "adapters/conformance",
  "sandbox/demo",
  "queue/lua/poison",
  "end-to-end/redis-outage",
  "end-to-end/problems",
  "chaos/short",
  "end-to-end/hostile-sender",
  "inputs/mqtt/client",
  "end-to-end/replay",
  "queue/lua/unconfirmed",
  "end-to-end/rate",
  "queue/scenarios/throttled",
  "queue/scenarios/blocked",
  "project/drill",
  "queue/scenarios/everything",
  "queue/scenarios/outages",
  "end-to-end/spool",
  "docs/getting-started",
  "end-to-end/stops",
  "end-to-end/cli",
  "spool/spool",
].map((name) => `/test/${name}.test.ts`);

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const others = await super.sort(files);
    return others.toSorted((one, other) => rank(one) - rank(other));
  }
}

/** Files that share a process only do so where nothing else comes between them. */
function rank({ moduleId, project }: TestSpecification): number {
  const place = LONGEST.findIndex((name) => moduleId.endsWith(name));
  const among = place === -1 ? LONGEST.length : place;
  return project.config.isolate ? among : LONGEST.length + 1 + among;
}
