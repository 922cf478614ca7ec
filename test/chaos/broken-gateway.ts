/** A gateway that does everything in memory and one thing wrong, for the judge to find. */

import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

export type Flaw =
  | "none"
  /** The sender is answered first; what was not yet kept dies with the process. */
  | "answers_before_store"
  /** One of a hundred readings is forgotten. */
  | "drops"
  /** Every fifth batch is settled twice, and so sent twice. */
  | "settles_twice"
  | "twice_the_rate";

interface Reading {
  deviceId: string;
  latitude: number;
  longitude: number;
  time: string;
  speed: number;
}

export interface BrokenGateway {
  url: string;
  /** As if killed and started again: what was answered and kept survives. */
  crash(): void;
  /** A message is not yet kept, and a batch with pings is with ServiceTitan: the moment for a crash. */
  isBusy(): boolean;
  stop(): Promise<void>;
}

export const BATCH_PINGS = 80;
const DROPS_EVERY = 100;
const TWICE_EVERY = 5;
/** What stands for the write to a disk. */
const KEEP_MS = 150;

export async function startBrokenGateway(options: {
  flaw: Flaw;
  ratePerSecond: number;
  source: string;
  send(pings: object[]): Promise<boolean>;
}): Promise<BrokenGateway> {
  const { flaw, send, source } = options;
  const rate = flaw === "twice_the_rate" ? 2 * options.ratePerSecond : options.ratePerSecond;
  const stored: object[] = [];
  const seen = new Set<string>();
  let readings = 0;
  let batches = 0;
  let life = 0;
  let sending = false;
  let keeping = 0;
  let stopped = false;
  let nextAt = performance.now();

  async function store(message: readonly Reading[]): Promise<void> {
    const began = life;
    keeping++;
    await pause(KEEP_MS);
    keeping--;
    if (began !== life) throw new Error("killed");
    for (const reading of message) {
      const ping = pingOf(source, reading);
      if (seen.has(ping.externalId)) continue;
      seen.add(ping.externalId);
      readings++;
      if (flaw !== "drops" || readings % DROPS_EVERY !== 0) stored.push(ping);
    }
  }

  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const keeping = store(JSON.parse(Buffer.concat(chunks).toString()));
      if (flaw !== "answers_before_store") await keeping;
      else keeping.catch(() => {});
      response.end("{}");
    })().catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the system gave no TCP port");

  /** Evenly spread, a little slower than the rate; what was missed is not made up for. */
  async function slot(): Promise<void> {
    nextAt = Math.max(nextAt + 1100 / rate, performance.now());
    await pause(nextAt - performance.now());
  }

  async function deliver(): Promise<void> {
    while (!stopped) {
      await slot();
      const batch = stored.slice(0, BATCH_PINGS);
      if (batch.length === 0 && flaw !== "twice_the_rate") continue;
      const began = life;
      sending = batch.length > 0;
      const taken = await send(batch);
      sending = false;
      // Killed before it was settled: it is still kept, and sent again.
      if (!taken || began !== life) continue;
      batches++;
      if (flaw === "settles_twice" && batches % TWICE_EVERY === 0) {
        await slot();
        await send(batch);
      }
      stored.splice(0, batch.length);
    }
  }
  const delivering = deliver();

  return {
    url: `http://127.0.0.1:${address.port}`,
    crash: () => {
      life++;
    },
    isBusy: () => sending && keeping > 0,
    async stop() {
      stopped = true;
      await delivering;
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function pingOf(source: string, { deviceId, latitude, longitude, time, speed }: Reading) {
  const texts = { street: "", city: "", region: "", postalCode: "", message: "", statusMessage: "" };
  const externalId = `${source}:${deviceId}:${Date.parse(time)}`;
  const unit = { unitId: deviceId, unitName: deviceId };
  return { ...unit, eventTime: time, latitude, longitude, speed, ...texts, externalId, isNew: false };
}
