import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { asAuthenticated, type Message } from "../../src/adapters/kit/adapter.ts";
import type { Ingest } from "../../src/ingest/ingest.ts";
import type { IngestResult } from "../../src/ingest/result.ts";
import { StoreError } from "../../src/ingest/store.ts";
import { readSpoolFile } from "../../src/spool/file.ts";
import { openSpool, type Spool } from "../../src/spool/spool.ts";
import { memoryStore } from "../support/memory-store.ts";
import { ingestOver, KEY, plainSource, pointText } from "../support/plain-vendor.ts";
import { until } from "../support/wait.ts";

let dir: string;
let open: Spool[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "waypost-spool-"));
});
afterEach(async () => {
  for (const spool of open) await spool.close();
  open = [];
  rmSync(dir, { recursive: true, force: true });
});

const source = plainSource("vans");
source.credentials = { secrets: ["secret-secret"] };
const sources = new Map([["vans", source]]);

function sourceCalled(name: string) {
  const other = { ...plainSource(name), credentials: { secrets: ["secret-secret"] } };
  sources.set(name, other);
  return other;
}

function isAbout(event: unknown, what: string): boolean {
  return typeof event === "object" && event !== null && "what" in event && event.what === what;
}

function onlyFile(): string {
  const names = readdirSync(dir).filter((name) => name.endsWith(".spool"));
  expect(names).toHaveLength(1);
  return join(dir, names[0] ?? "");
}

function messageOf(text: string, more: Partial<Message> = {}): Message {
  return {
    body: Buffer.from(text),
    receivedAt: Date.now(),
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer secret-secret" },
    query: { token: "secret-secret", u: "ana" },
    retained: false,
    ...more,
  };
}

/** Ingest whose storage can be taken away; remembers what it was given, in order. */
function storage() {
  const state = { away: true, taken: [] as { text: string; message: Message; authenticated: boolean }[] };
  const take = async (message: Message, authenticated: boolean): Promise<IngestResult> => {
    if (state.away) return { kind: "deferred", reason: "storage_unavailable", retryAfterS: 5 };
    state.taken.push({ text: Buffer.from(message.body).toString(), message, authenticated });
    return { kind: "stored", readings: 1, stored: 1, duplicates: 0, rejections: [] };
  };
  const ingest: Ingest = {
    receive: (_, message) => take(message, false),
    ingest: (_, message) => take(message, true),
    authenticateHead: () => null,
    refuse: () => {},
  };
  return { state, ingest };
}

async function spoolOn(ingest: Ingest, maxBytes = 1_000_000, isBack = () => true) {
  const told: { name: string; event: unknown }[] = [];
  const spool = await openSpool({
    settings: { dir, maxBytes },
    ingest,
    sources,
    isStorageBack: async () => isBack(),
    events: {
      spoolAwaited: (event) => void told.push({ name: "awaited", event }),
      spoolOpened: (event) => void told.push({ name: "opened", event }),
      spoolReplayed: (event) => void told.push({ name: "replayed", event }),
      spoolProblem: (event) => void told.push({ name: "problem", event }),
    },
  });
  open.push(spool);
  return { spool, told };
}

describe("a spool", () => {
  test("is not in the way while storage is there", async () => {
    const { state, ingest } = storage();
    state.away = false;
    const { spool } = await spoolOn(ingest);
    expect(await spool.ingest.receive(source, messageOf("a"))).toMatchObject({ kind: "stored" });
    expect(spool.state()).toMatchObject({ messages: 0, spooled: 0 });
  });

  test("sets messages aside during an outage and gives them back in order, each once, when it is over", async () => {
    const { state, ingest } = storage();
    const { spool, told } = await spoolOn(ingest, 1_000_000, () => !state.away);
    const texts = Array.from({ length: 200 }, (_, i) => `message ${i}`);
    for (const text of texts) {
      expect(await spool.ingest.receive(source, messageOf(text))).toEqual({ kind: "spooled" });
    }
    expect(spool.state()).toMatchObject({ messages: 200, spooled: 200, replayed: 0 });
    state.away = false;
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    expect(state.taken.map(({ text }) => text)).toEqual(texts);
    expect(state.taken.every(({ authenticated }) => authenticated)).toBe(true);
    expect(spool.state()).toMatchObject({ bytes: 0, replayed: 200, oldestAt: null });
    expect(told.map(({ name }) => name)).toEqual(["opened", "replayed"]);
    expect(readdirSync(dir).filter((name) => name.endsWith(".spool"))).toEqual([]);
  });

  test("keeps the time of arrival, and no secret", async () => {
    const { state, ingest } = storage();
    const { spool } = await spoolOn(ingest);
    await spool.ingest.receive(source, messageOf("a", { receivedAt: 1_795_000_000_000 }));
    const [file = ""] = readdirSync(dir).filter((name) => name.endsWith(".spool"));
    const { records } = await readSpoolFile(join(dir, file));
    expect(records).toHaveLength(1);
    expect(JSON.stringify(records)).not.toContain("secret-secret");
    state.away = false;
    await until(() => state.taken.length === 1, { what: "the message" });
    expect(state.taken[0]?.message).toMatchObject({
      receivedAt: 1_795_000_000_000,
      headers: { "content-type": "application/json" },
      query: { u: "ana" },
    });
  });

  test("keeps the login that sent it", async () => {
    const store = memoryStore();
    let away = true;
    store.before = () => {
      if (away) throw new StoreError("storage_unavailable", 1);
    };
    const { ingest } = ingestOver(store);
    const { spool } = await spoolOn(ingest, 1_000_000, () => !away);
    for (const [i, id] of ["van-2", "van-1"].entries()) {
      const message = messageOf(pointText(id, i), { login: "van-1" });
      expect(await spool.ingest.ingest(source, asAuthenticated(message))).toEqual({ kind: "spooled" });
    }
    away = false;
    await until(() => store.entries.length === 2, { what: "both messages" });
    expect(store.stored().map(({ deviceId }) => deviceId)).toEqual(["van-1"]);
    expect(store.entries[0]).toMatchObject({ rejections: new Map([["foreign_device", 1]]) });
  });

  test("survives the process: what was answered is there after a start from the same directory", async () => {
    const first = storage();
    const before = await spoolOn(first.ingest);
    await before.spool.ingest.receive(source, messageOf("a"));
    await before.spool.ingest.receive(source, messageOf("b"));
    await before.spool.close();
    open = [];
    const second = storage();
    second.state.away = false;
    const { spool } = await spoolOn(second.ingest);
    await until(() => second.state.taken.length === 2, { what: "both messages" });
    expect(second.state.taken.map(({ text }) => text)).toEqual(["a", "b"]);
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
  });

  test("refuses when it is full, so that the sender keeps the message", async () => {
    const { ingest } = storage();
    const { spool, told } = await spoolOn(ingest, 2000);
    const results: string[] = [];
    for (let i = 0; i < 20; i++)
      results.push((await spool.ingest.receive(source, messageOf("x".repeat(300)))).kind);
    expect(results[0]).toBe("spooled");
    expect(results.at(-1)).toBe("deferred");
    expect(spool.state().bytes).toBeLessThanOrEqual(2000);
    expect(told.at(-1)).toEqual({ name: "problem", event: { what: "full" } });
  });

  test("leaves MQTT to its broker, and a full buffer to the sender", async () => {
    const { ingest } = storage();
    const { spool } = await spoolOn(ingest);
    expect(await spool.ingest.receive(source, messageOf("a", { topic: "fleet/1" }))).toMatchObject({
      kind: "deferred",
    });
    const full: Ingest = {
      ...ingest,
      receive: async () => ({ kind: "deferred", reason: "buffer_full", retryAfterS: 30 }),
    };
    await spool.close();
    open = [];
    const other = await spoolOn(full);
    expect(await other.spool.ingest.receive(source, messageOf("a"))).toMatchObject({ reason: "buffer_full" });
  });

  test("continues where it stopped when a message cannot be stored, and ingests nothing twice", async () => {
    const { state, ingest } = storage();
    const { spool } = await spoolOn(ingest);
    for (const text of ["a", "b", "full", "c"]) await spool.ingest.receive(source, messageOf(text));
    const offered: string[] = [];
    const ingestNow = ingest.ingest;
    let full = true;
    ingest.ingest = async (from, message) => {
      const text = Buffer.from(message.body).toString();
      offered.push(text);
      if (text === "full" && full) return { kind: "deferred", reason: "buffer_full", retryAfterS: 30 };
      return ingestNow(from, message);
    };
    state.away = false;
    await until(() => offered.filter((text) => text === "full").length > 1, { what: "a second try" });
    full = false;
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    expect(state.taken.map(({ text }) => text)).toEqual(["a", "b", "full", "c"]);
    expect(offered.filter((text) => text === "a")).toHaveLength(1);
  });

  test("puts messages of a source that is gone aside, and goes on with the others", async () => {
    const { state, ingest } = storage();
    const { spool, told } = await spoolOn(ingest);
    const gone = { ...source, name: "gone" };
    await spool.ingest.receive(gone, messageOf("x"));
    await spool.ingest.receive(source, messageOf("a"));
    state.away = false;
    await until(() => state.taken.length === 1, { what: "the other source's message" });
    expect(told).toContainEqual({ name: "problem", event: expect.objectContaining({ what: "no_source" }) });
    const { records } = await readSpoolFile(join(dir, "orphans.kept"));
    expect(records).toMatchObject([{ source: "gone" }]);

    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    await spool.close();
    open = [];
    renameSync(join(dir, "orphans.kept"), join(dir, "0000000000.spool"));
    sources.set("gone", gone);
    await spoolOn(ingest);
    await until(() => state.taken.length === 2, { what: "what was put back by hand" });
    expect(state.taken.map(({ text }) => text)).toEqual(["a", "x"]);
  });

  test("keeps the file of a message that could not be stored, not even in quarantine", async () => {
    const { state, ingest } = storage();
    const { spool } = await spoolOn(ingest);
    await spool.ingest.receive(source, messageOf("a"));
    let broken = true;
    const ingestNow = ingest.ingest;
    ingest.ingest = async (from, message) =>
      broken ? { kind: "failed", requestId: "1", quarantined: false } : ingestNow(from, message);
    state.away = false;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(spool.state().messages).toBe(1);
    broken = false;
    await until(() => state.taken.length === 1, { what: "the message" });
  });

  test("no other source waits for one that cannot go on, and that one stays in order", async () => {
    const { state, ingest } = storage();
    const { spool } = await spoolOn(ingest);
    const trucks = sourceCalled("trucks");
    for (let i = 0; i < 50; i++) {
      await spool.ingest.receive(trucks, messageOf(`truck ${i}`));
      await spool.ingest.receive(source, messageOf(`van ${i}`));
    }
    const { ingest: ingestNow } = ingest;
    let isFull = true;
    ingest.ingest = async (from, message) =>
      isFull && from === trucks
        ? { kind: "deferred", reason: "buffer_full", retryAfterS: 30 }
        : ingestNow(from, message);
    state.away = false;
    await until(() => state.taken.length === 50, { what: "the other source's messages" });
    expect(state.taken.map(({ text }) => text)).toEqual(Array.from({ length: 50 }, (_, i) => `van ${i}`));
    await until(() => spool.state().messages === 50, { what: "the stuck ones alone to stay" });
    const bytes = spool.state().bytes;

    // What comes of another outage meanwhile is not held up by them either, nor overtakes them.
    state.away = true;
    await spool.ingest.receive(trucks, messageOf("truck 50"));
    await spool.ingest.receive(source, messageOf("van 50"));
    state.away = false;
    await until(() => state.taken.length === 51, { what: "the other source's next message" });
    // They hold no room but their own.
    await until(() => spool.state().messages === 51 && spool.state().bytes < bytes + 1000, {
      what: "what is replayed to leave the disk",
    });
    isFull = false;
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    const { length } = state.taken;
    expect(length).toBe(102);
    expect(state.taken.slice(51).map(({ text }) => text)).toEqual(
      Array.from({ length: 51 }, (_, i) => `truck ${i}`),
    );
    expect(spool.state()).toMatchObject({ bytes: 0, replayed: 102 });
  });

  test("goes on in another process where this one was ended", async () => {
    const { state, ingest } = storage();
    const first = await spoolOn(ingest);
    for (let i = 0; i < 20; i++) await first.spool.ingest.receive(source, messageOf(`message ${i}`));
    const { ingest: ingestNow } = ingest;
    let ending: Promise<void> | undefined;
    ingest.ingest = async (from, message) => {
      // In the middle of the file, and of a message.
      if (state.taken.length === 10) ending ??= first.spool.close();
      return ingestNow(from, message);
    };
    state.away = false;
    await until(() => ending !== undefined, { what: "the end of the first" });
    await ending;
    open = [];
    const taken = state.taken.length;
    expect(taken).toBeLessThan(20);
    const { spool } = await spoolOn(ingest);
    expect(spool.state().messages).toBe(20 - taken);
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    expect(state.taken.map(({ text }) => text)).toEqual(Array.from({ length: 20 }, (_, i) => `message ${i}`));
  });

  test("touches nothing any more once another process has taken the directory over", async () => {
    const { state, ingest } = storage();
    const { spool, told } = await spoolOn(ingest);
    const texts = Array.from({ length: 20 }, (_, i) => `message ${i}`);
    for (const text of texts) await spool.ingest.receive(source, messageOf(text));
    const path = onlyFile();
    const { size } = statSync(path);
    const { ingest: ingestNow } = ingest;
    const lock = join(dir, "lock");
    ingest.ingest = async (from, message) => {
      if (state.taken.length === 15) {
        // As if this process had stood still here.
        writeFileSync(lock, "another-boot/pid:[1] 1 some-instance another");
        state.away = true;
        await until(
          async () => {
            const { kind } = await spool.ingest.receive(source, messageOf("late"));
            return kind === "deferred" && told.some(({ event }) => isAbout(event, "lock_lost"));
          },
          { what: "the loss to be noticed" },
        );
        state.away = false;
      }
      return ingestNow(from, message);
    };
    state.away = false;
    await until(() => state.taken.length === 16, { what: "the message under way" });
    await spool.close();
    open = [];
    expect(state.taken).toHaveLength(16);
    expect(statSync(path).size).toBe(size);
    expect(readFileSync(lock, "utf8")).toContain("some-instance");
    expect((await readSpoolFile(path)).records.filter(({ isDone }) => !isDone)).toHaveLength(4);
  });

  test("a damaged record costs itself alone, and its bytes stay", async () => {
    const first = storage();
    const before = await spoolOn(first.ingest);
    for (const text of ["aaaa", "bbbb", "cccc"]) await before.spool.ingest.receive(source, messageOf(text));
    await before.spool.close();
    open = [];
    const path = onlyFile();
    const bytes = readFileSync(path);
    const at = bytes.indexOf("bbbb");
    bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at);
    writeFileSync(path, bytes);

    const second = storage();
    second.state.away = false;
    const { spool, told } = await spoolOn(second.ingest);
    await until(() => told.length === 2, { what: "word of the damage" });
    expect(second.state.taken.map(({ text }) => text)).toEqual(["aaaa", "cccc"]);
    const damaged = `${path}.damaged`;
    expect(told[1]).toEqual({
      name: "problem",
      event: { what: "damaged", detail: expect.stringContaining(damaged) },
    });
    // It holds what could not be read and nothing else, and has its share of the room.
    expect(readFileSync(damaged).includes("fbbb")).toBe(true);
    expect(readFileSync(damaged).includes("aaaa")).toBe(false);
    expect(spool.state()).toMatchObject({ messages: 0, bytes: readFileSync(damaged).length });
    await spool.close();
    open = [];
    const third = await spoolOn(second.ingest);
    expect(third.spool.state().bytes).toBe(readFileSync(damaged).length);
  });

  test("a file that cannot be read stays, and no other file waits for it", async () => {
    const { state, ingest } = storage();
    mkdirSync(join(dir, "0000000001.spool"));
    const { spool, told } = await spoolOn(ingest);
    await spool.ingest.receive(source, messageOf("a"));
    state.away = false;
    await until(() => state.taken.length === 1, { what: "the message of the other file" });
    expect(told).toContainEqual({ name: "problem", event: expect.objectContaining({ what: "read" }) });
    expect(readdirSync(dir)).toContain("0000000001.spool");
  });

  test("a message that hits a bug of ours meanwhile is spooled too, and quarantined when Redis is back", async () => {
    const store = memoryStore();
    const { ingest, told } = ingestOver(store);
    let isAway = true;
    store.before = () => {
      if (isAway) throw new StoreError("storage_unavailable", 5);
    };
    const { spool } = await spoolOn(ingest, 1_000_000, () => !isAway);
    const message = messageOf(pointText("bug", 0), { headers: { "x-key": KEY } });
    const own = { ...source, credentials: { secrets: [KEY] } };
    expect(await spool.ingest.receive(own, message)).toEqual({ kind: "spooled" });
    expect(told).toMatchObject([
      { event: "ingestFailed", quarantined: false, error: { message: "a bug in decode" } },
      { event: "messageDeferred", reason: "storage_unavailable" },
    ]);
    isAway = false;
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    expect(store.entries).toMatchObject([{ kind: "malformed", reason: "internal_error" }]);
  });

  test("a message that a bug of ours kept from being authenticated is not spooled", async () => {
    const { ingest } = ingestOver(memoryStore());
    const { spool } = await spoolOn(ingest);
    const authMethod = {
      name: "broken",
      needs: [],
      placement: { kind: "address" } as const,
      verify: () => {
        throw new Error("a bug in the method");
      },
    };
    const result = await spool.ingest.receive({ ...source, authMethod }, messageOf("a"));
    expect(result).toMatchObject({ kind: "failed", quarantined: false });
    expect(spool.state().messages).toBe(0);
  });

  test("messages that come together share a sync, and none is answered before it", async () => {
    const { ingest } = storage();
    const { spool } = await spoolOn(ingest);
    const results = await Promise.all(
      Array.from({ length: 500 }, (_, i) => spool.ingest.receive(source, messageOf(`m${i}`))),
    );
    expect(results.every(({ kind }) => kind === "spooled")).toBe(true);
    const onDisk = await Promise.all(
      readdirSync(dir)
        .filter((name) => name.endsWith(".spool"))
        .map((name) => readSpoolFile(join(dir, name))),
    );
    expect(onDisk.flatMap(({ records }) => records)).toHaveLength(500);
  });
});

test("a handshake is not spooled: its sender waits for an answer of its own", async () => {
  const { ingest } = storage();
  const { spool } = await spoolOn(ingest);
  const question = messageOf(JSON.stringify({ challenge: "x" }));
  expect(await spool.ingest.receive(source, question)).toMatchObject({ kind: "deferred" });
});
