/** The spool is for the gateway's own user: nobody else reads what waits in it, and nobody else puts anything there. */

import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Ingest } from "../../src/ingest/ingest.ts";
import { openSpool, type Spool } from "../../src/spool/spool.ts";
import { because } from "../support/because.ts";
import { plainSource } from "../support/plain-vendor.ts";

const notRoot =
  process.getuid?.() === 0 ? null : "no file can be given to another user: run the tests as root";

let parent: string;
let dir: string;
const opened: Spool[] = [];
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "waypost-permissions-"));
  dir = join(parent, "spool");
});
afterEach(async () => {
  for (const spool of opened.splice(0)) await spool.close();
  rmSync(parent, { recursive: true, force: true });
});

const away: Ingest = {
  receive: async () => ({ kind: "deferred", reason: "storage_unavailable", retryAfterS: 5 }),
  ingest: async () => ({ kind: "deferred", reason: "storage_unavailable", retryAfterS: 5 }),
  authenticateHead: () => null,
  refuse: () => {},
};
const source = plainSource("vans");

async function open(at = dir): Promise<Spool> {
  const spool = await openSpool({
    settings: { dir: at, maxBytes: 1_000_000 },
    ingest: away,
    sources: new Map([["vans", source]]),
    isStorageBack: async () => false,
    events: { spoolAwaited() {}, spoolOpened() {}, spoolReplayed() {}, spoolProblem() {} },
  });
  opened.push(spool);
  return spool;
}

const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);
const modesIn = (path: string) => readdirSync(path).map((name) => modeOf(join(path, name)));

const spooled = () => ({
  body: Buffer.from("a"),
  receivedAt: Date.now(),
  method: "POST",
  headers: {},
  query: {},
  retained: false,
});

test.each(["000", "002", "022", "077"])(
  "what it makes is its own user's under a umask of %s",
  async (umask) => {
    const before = process.umask(umask);
    try {
      dir = join(parent, "made", "with", "its", "parents");
      const spool = await open();
      expect(await spool.ingest.receive(source, spooled())).toEqual({ kind: "spooled" });
      expect(modeOf(dir)).toBe("700");
      // The lock and the file of messages.
      expect(modesIn(dir)).toEqual(["600", "600"]);
    } finally {
      process.umask(before);
    }
  },
);

test("what an earlier version left open is closed", async () => {
  mkdirSync(dir, { mode: 0o755 });
  for (const name of ["0000000001.spool", "orphans.kept", "0000000002.spool.damaged"])
    writeFileSync(join(dir, name), "", { mode: 0o644 });
  await open();
  expect(modeOf(dir)).toBe("700");
  expect(new Set(modesIn(dir))).toEqual(new Set(["600"]));
});

describe("a directory is refused", () => {
  test.each([0o770, 0o702, 0o777, 0o1777, 0o2775])("that others can write: mode %o", async (mode) => {
    mkdirSync(dir);
    chmodSync(dir, mode);
    await expect(open()).rejects.toThrow(/can be written by other users \(mode \d{4}\): chmod 700 \//);
    expect(readdirSync(dir)).toEqual([]);
    expect(modeOf(dir)).toBe(mode.toString(8));
  });

  test("that others can write, behind a link", async () => {
    mkdirSync(dir);
    chmodSync(dir, 0o777);
    const link = join(parent, "link");
    symlinkSync(dir, link);
    await expect(open(link)).rejects.toThrow("can be written by other users");
    await expect(open(`${link}/`)).rejects.toThrow("can be written by other users");
  });

  test.skipIf(notRoot !== null)(`that belongs to another user${because(notRoot)}`, async () => {
    mkdirSync(dir, { mode: 0o700 });
    chownSync(dir, 12_345, 12_345);
    await expect(open()).rejects.toThrow(/belongs to another user \(uid 12345\).*: chown 0 \//);
  });

  test.skipIf(notRoot !== null)(`that another user's link leads to${because(notRoot)}`, async () => {
    mkdirSync(dir, { mode: 0o700 });
    const link = join(parent, "link");
    symlinkSync(dir, link);
    lchownSync(link, 12_345, 12_345);
    await expect(open(link)).rejects.toThrow("is a link of another user (uid 12345)");
    await expect(open(`${link}/`)).rejects.toThrow("is a link of another user (uid 12345)");
  });

  test.each(["0000000001.spool", "orphans.kept", "0000000001.spool.damaged"])(
    "in which %s leads elsewhere or is no file",
    async (name) => {
      mkdirSync(dir, { mode: 0o700 });
      const target = join(parent, "target");
      writeFileSync(target, "");
      chmodSync(target, 0o644);
      symlinkSync(target, join(dir, name));
      await expect(open()).rejects.toThrow("is not a plain file: remove it");
      expect(modeOf(target)).toBe("644");
      rmSync(join(dir, name));
      // Reading from a pipe nobody writes to would never end; a socket stands for both.
      const socket = createServer().listen(join(dir, name));
      await once(socket, "listening");
      await expect(open()).rejects.toThrow("is not a plain file: remove it");
      socket.close();
    },
  );
});

test("a link of one's own to a right directory is taken", async () => {
  mkdirSync(dir, { mode: 0o700 });
  const link = join(parent, "link");
  symlinkSync(dir, link);
  const spool = await open(link);
  expect(await spool.ingest.receive(source, spooled())).toEqual({ kind: "spooled" });
  expect(modesIn(dir)).toEqual(["600", "600"]);
});
