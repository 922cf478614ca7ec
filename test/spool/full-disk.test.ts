/** A disk with no room while Redis is away: senders are told to come back, and nothing else grows. */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Ingest } from "../../src/ingest/ingest.ts";
import { openSpool } from "../../src/spool/spool.ts";
import { because } from "../support/because.ts";
import { plainSource } from "../support/plain-vendor.ts";
import { until } from "../support/wait.ts";

const disk = mkdtempSync(join(tmpdir(), "waypost-disk-"));
/** Small enough to be filled at once. */
const DISK_KB = 256;
const mounted =
  spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_KB}k`, "tmpfs", disk], { stdio: "ignore" }).status ===
  0;

afterAll(() => {
  if (mounted) execFileSync("umount", [disk]);
  rmSync(disk, { recursive: true, force: true });
});

const missing = mounted ? null : "a small disk cannot be mounted here: run the tests as root";

test.skipIf(missing !== null)(
  `a full disk is asked once a second, and costs neither files nor what was kept${because(missing)}`,
  async () => {
    const state = { away: true, taken: [] as string[] };
    const ingest: Ingest = {
      receive: async () => ({ kind: "deferred", reason: "storage_unavailable", retryAfterS: 5 }),
      ingest: async (_, message) => {
        if (state.away) return { kind: "deferred", reason: "storage_unavailable", retryAfterS: 5 };
        state.taken.push(Buffer.from(message.body).toString());
        return { kind: "stored", readings: 1, stored: 1, duplicates: 0, rejections: [] };
      },
      authenticateHead: () => null,
      refuse: () => {},
    };
    const source = plainSource("vans");
    const problems: { what: string; error?: unknown }[] = [];
    const dir = join(disk, "spool");
    const spool = await openSpool({
      settings: { dir, maxBytes: 1_000_000_000 },
      ingest,
      sources: new Map([["vans", source]]),
      isStorageBack: async () => !state.away,
      events: {
        spoolAwaited: () => {},
        spoolOpened: () => {},
        spoolReplayed: () => {},
        spoolProblem: (event) => void problems.push(event),
      },
    });
    let sent = 0;
    const answered: string[] = [];
    async function send(): Promise<string> {
      const text = `${sent++} ${"x".repeat(1000)}`;
      const { kind } = await spool.ingest.receive(source, {
        body: Buffer.from(text),
        receivedAt: Date.now(),
        method: "POST",
        headers: {},
        query: {},
        retained: false,
      });
      if (kind === "spooled") answered.push(text);
      return kind;
    }
    const files = () => readdirSync(dir).filter((name) => name.endsWith(".spool"));

    const others = join(disk, "others");
    writeFileSync(others, Buffer.alloc(DISK_KB * 256));
    while ((await send()) === "spooled");
    expect(problems).toMatchObject([{ what: "write", error: { code: "ENOSPC" } }]);
    expect(answered.length).toBeGreaterThan(50);
    // Of every second that passes in this loop the disk may be asked once.
    const from = performance.now();
    for (let i = 0; i < 2000; i++) expect(await send()).toBe("deferred");
    const seconds = Math.ceil((performance.now() - from) / 1000);
    expect(problems.length).toBeLessThanOrEqual(1 + seconds);
    // Filled to the last byte, it is tried again and again, and what is tried leaves nothing.
    const { size } = statSync(join(dir, files()[0] ?? ""));
    const filler = join(disk, "filler");
    expect(() => writeFileSync(filler, Buffer.alloc(2 * DISK_KB * 1024))).toThrow(/ENOSPC/);
    const told = problems.length;
    await until(async () => (await send()) === "deferred" && problems.length >= told + 3, {
      withinMs: 30_000,
      what: "three more tries",
    });
    expect(files()).toHaveLength(1);
    expect(statSync(join(dir, files()[0] ?? "")).size).toBe(size);
    expect(spool.state()).toMatchObject({ messages: answered.length, bytes: size, spooled: answered.length });

    rmSync(others);
    await until(async () => (await send()) === "spooled", { what: "room on the disk to be found" });
    expect(files()).toHaveLength(2);
    state.away = false;
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    expect(state.taken).toEqual(answered);
    expect(spool.state().bytes).toBe(0);
    await spool.close();
    expect(readdirSync(dir)).toEqual([]);
  },
);
