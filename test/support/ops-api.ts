/** Reads the whole status of a gateway over its API, as a script of an operator would. */

import { setTimeout as pause } from "node:timers/promises";
import type { SmallStatus } from "../../src/ops/api/schema/status.ts";
import type { DestinationStatus, SourceStatus } from "../../src/status/queue.ts";

export type WholeStatus = Extract<SmallStatus, { available: true }> & {
  sources: SourceStatus[];
  destinations: DestinationStatus[];
};

/** The status is shared for a second; a test wants to know what has become of what it did just now. */
const ASK_AGAIN_MS = 50;

/** As of now, and all of one moment. Rejects while Redis does not answer. */
export async function readStatus(url: string, headers: Record<string, string>): Promise<WholeStatus> {
  async function ask(path: string): Promise<string> {
    const answer = await fetch(`${url}/api/v1${path}`, { headers });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
    return text;
  }

  async function listed<T>(path: string): Promise<T[]> {
    const all: T[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const page: { items: T[]; next: string | null } = JSON.parse(
        await ask(`${path}?limit=200${cursor === "" ? "" : `&cursor=${cursor}`}`),
      );
      all.push(...page.items);
      cursor = page.next;
    }
    return all;
  }

  async function small(): Promise<Extract<SmallStatus, { available: true }>> {
    const status: SmallStatus = JSON.parse(await ask("/status"));
    if (!status.available) throw new Error("Redis does not answer");
    return status;
  }

  const askedAt = Date.now();
  for (;;) {
    const status = await small();
    if (Date.parse(status.at) >= askedAt) {
      const [sources, destinations] = [
        await listed<SourceStatus>("/sources"),
        await listed<DestinationStatus>("/destinations"),
      ];
      if ((await small()).at === status.at) return { ...status, sources, destinations };
    }
    await pause(ASK_AGAIN_MS);
  }
}
