import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Message } from "../src/adapters/adapter.ts";
import type { Intake, IntakeResult } from "../src/intake.ts";
import { openSpool, type Spool } from "../src/spool.ts";
import { encodeSpooled, openSpoolWriter, readSpoolFile } from "../src/spool-file.ts";
import { plainSource } from "./parts/plain-vendor.ts";
import { until } from "./parts/wait.ts";

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

/** Intake whose storage can be taken away; remembers what it was given, in order. */
function storage() {
  const state = { away: true, taken: [] as { text: string; message: Message; proven: boolean }[] };
  const take = async (message: Message, proven: boolean): Promise<IntakeResult> => {
    if (state.away) return { kind: "unkept", reason: "storage_unavailable", retryAfterS: 5 };
    state.taken.push({ text: Buffer.from(message.body).toString(), message, proven });
    return { kind: "kept", candidates: 1, kept: 1, duplicates: 0, rejections: [] };
  };
  const intake: Intake = {
    accept: (_, message) => take(message, false),
    acceptProven: (_, message) => take(message, true),
    refuseByHead: () => null,
    refuse: () => {},
  };
  return { state, intake };
}

async function spoolOn(intake: Intake, maxBytes = 1_000_000, isBack = () => true) {
  const told: { name: string; event: unknown }[] = [];
  const spool = await openSpool({
    settings: { dir, maxBytes },
    intake,
    sources,
    isStorageBack: async () => isBack(),
    events: {
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
    const { state, intake } = storage();
    state.away = false;
    const { spool } = await spoolOn(intake);
    expect(await spool.intake.accept(source, messageOf("a"))).toMatchObject({ kind: "kept" });
    expect(spool.state()).toMatchObject({ messages: 0, spooled: 0 });
  });

  test("sets messages aside during an outage and gives them back in order, each once, when it is over", async () => {
    const { state, intake } = storage();
    const { spool, told } = await spoolOn(intake, 1_000_000, () => !state.away);
    const texts = Array.from({ length: 200 }, (_, i) => `message ${i}`);
    for (const text of texts) {
      expect(await spool.intake.accept(source, messageOf(text))).toEqual({ kind: "spooled" });
    }
    expect(spool.state()).toMatchObject({ messages: 200, spooled: 200, replayed: 0 });
    state.away = false;
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    expect(state.taken.map(({ text }) => text)).toEqual(texts);
    expect(state.taken.every(({ proven }) => proven)).toBe(true);
    expect(spool.state()).toMatchObject({ bytes: 0, replayed: 200, oldestAt: null });
    expect(told.map(({ name }) => name)).toEqual(["opened", "replayed"]);
    expect(readdirSync(dir).filter((name) => name.endsWith(".spool"))).toEqual([]);
  });

  test("keeps the time of arrival, and no secret", async () => {
    const { state, intake } = storage();
    const { spool } = await spoolOn(intake);
    await spool.intake.accept(source, messageOf("a", { receivedAt: 1_795_000_000_000 }));
    const [file = ""] = readdirSync(dir).filter((name) => name.endsWith(".spool"));
    const { messages } = await readSpoolFile(join(dir, file));
    expect(JSON.stringify(messages)).not.toContain("secret-secret");
    state.away = false;
    await until(() => state.taken.length === 1, { what: "the message" });
    expect(state.taken[0]?.message).toMatchObject({
      receivedAt: 1_795_000_000_000,
      headers: { "content-type": "application/json" },
      query: { u: "ana" },
    });
  });

  test("survives the process: what was answered is there after a start from the same directory", async () => {
    const first = storage();
    const before = await spoolOn(first.intake);
    await before.spool.intake.accept(source, messageOf("a"));
    await before.spool.intake.accept(source, messageOf("b"));
    await before.spool.close();
    open = [];
    const second = storage();
    second.state.away = false;
    const { spool } = await spoolOn(second.intake);
    await until(() => second.state.taken.length === 2, { what: "both messages" });
    expect(second.state.taken.map(({ text }) => text)).toEqual(["a", "b"]);
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
  });

  test("says no when it is full, so that the sender keeps the message", async () => {
    const { intake } = storage();
    const { spool, told } = await spoolOn(intake, 2000);
    const results: string[] = [];
    for (let i = 0; i < 20; i++)
      results.push((await spool.intake.accept(source, messageOf("x".repeat(300)))).kind);
    expect(results[0]).toBe("spooled");
    expect(results.at(-1)).toBe("unkept");
    expect(spool.state().bytes).toBeLessThanOrEqual(2000);
    expect(told.at(-1)).toEqual({ name: "problem", event: { what: "full" } });
  });

  test("leaves MQTT to its broker, and a full buffer to the sender", async () => {
    const { intake } = storage();
    const { spool } = await spoolOn(intake);
    expect(await spool.intake.accept(source, messageOf("a", { topic: "fleet/1" }))).toMatchObject({
      kind: "unkept",
    });
    const full: Intake = {
      ...intake,
      accept: async () => ({ kind: "unkept", reason: "buffer_full", retryAfterS: 30 }),
    };
    await spool.close();
    open = [];
    const other = await spoolOn(full);
    expect(await other.spool.intake.accept(source, messageOf("a"))).toMatchObject({ reason: "buffer_full" });
  });

  test("is used by one process at a time", async () => {
    const { intake } = storage();
    // The parent of this process lives as long as it does.
    writeFileSync(join(dir, "lock"), `${hostname()} ${process.ppid}`);
    await expect(spoolOn(intake)).rejects.toThrow(/in use by another process/);
    writeFileSync(join(dir, "lock"), "another-host 1");
    await expect(spoolOn(intake)).rejects.toThrow(/in use by another process/);
  });

  test.each(["", "0", `${hostname()} 999999999`, `${hostname()} ${process.pid}`])(
    "is not kept from starting by a lock that nobody holds: %j",
    async (text) => {
      writeFileSync(join(dir, "lock"), text);
      const old = new Date(Date.now() - 60_000);
      utimesSync(join(dir, "lock"), old, old);
      const { spool } = await spoolOn(storage().intake);
      expect(spool.state().messages).toBe(0);
    },
  );

  test("goes on where it stopped when something cannot be taken, and offers nothing twice", async () => {
    const { state, intake } = storage();
    const { spool } = await spoolOn(intake);
    for (const text of ["a", "b", "full", "c"]) await spool.intake.accept(source, messageOf(text));
    const offered: string[] = [];
    const acceptProven = intake.acceptProven;
    let full = true;
    intake.acceptProven = async (from, message) => {
      const text = Buffer.from(message.body).toString();
      offered.push(text);
      if (text === "full" && full) return { kind: "unkept", reason: "buffer_full", retryAfterS: 30 };
      return acceptProven(from, message);
    };
    state.away = false;
    await until(() => offered.filter((text) => text === "full").length > 1, { what: "a second try" });
    full = false;
    await until(() => spool.state().messages === 0, { what: "the spool to empty" });
    expect(state.taken.map(({ text }) => text)).toEqual(["a", "b", "full", "c"]);
    expect(offered.filter((text) => text === "a")).toHaveLength(1);
  });

  test("puts messages of a source that is gone aside, and goes on with the others", async () => {
    const { state, intake } = storage();
    const { spool, told } = await spoolOn(intake);
    const gone = { ...source, name: "gone" };
    await spool.intake.accept(gone, messageOf("x"));
    await spool.intake.accept(source, messageOf("a"));
    state.away = false;
    await until(() => state.taken.length === 1, { what: "the other source's message" });
    expect(told).toContainEqual({ name: "problem", event: expect.objectContaining({ what: "no_source" }) });
    const { messages } = await readSpoolFile(join(dir, "orphans.kept"));
    expect(messages).toMatchObject([{ source: "gone" }]);
  });

  test("keeps the file of a message that nobody could store, quarantine included", async () => {
    const { state, intake } = storage();
    const { spool } = await spoolOn(intake);
    await spool.intake.accept(source, messageOf("a"));
    let broken = true;
    const acceptProven = intake.acceptProven;
    intake.acceptProven = async (from, message) =>
      broken ? { kind: "failed", requestId: "1", quarantined: false } : acceptProven(from, message);
    state.away = false;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(spool.state().messages).toBe(1);
    broken = false;
    await until(() => state.taken.length === 1, { what: "the message" });
  });

  test("messages that come together share a sync, and none is answered before it", async () => {
    const { intake } = storage();
    const { spool } = await spoolOn(intake);
    const results = await Promise.all(
      Array.from({ length: 500 }, (_, i) => spool.intake.accept(source, messageOf(`m${i}`))),
    );
    expect(results.every(({ kind }) => kind === "spooled")).toBe(true);
    const onDisk = await Promise.all(
      readdirSync(dir)
        .filter((name) => name.endsWith(".spool"))
        .map((name) => readSpoolFile(join(dir, name))),
    );
    expect(onDisk.flatMap(({ messages }) => messages)).toHaveLength(500);
  });
});

test("a handshake is not spooled: its sender waits for an answer of its own", async () => {
  const { intake } = storage();
  const { spool } = await spoolOn(intake);
  const question = messageOf(JSON.stringify({ challenge: "x" }));
  expect(await spool.intake.accept(source, question)).toMatchObject({ kind: "unkept" });
});

test("after a failed write nothing is written behind the torn record", async () => {
  const path = join(dir, "0000000001.spool");
  const writer = await openSpoolWriter(path);
  await writer.append(encodeSpooled({ source: "vans", message: messageOf("a") }));
  await writer.close();
  await expect(writer.append(encodeSpooled({ source: "vans", message: messageOf("b") }))).rejects.toThrow();
  expect(writer.isBroken()).toBe(true);
  expect((await readSpoolFile(path)).messages).toHaveLength(1);
});

describe("a spool file", () => {
  const path = () => join(dir, "0000000001.spool");

  test("gives back any message as it was, bytes that are no text included", () => {
    return fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 2000 }),
        fc.string({ unit: "binary" }),
        async (body, text) => {
          const message = messageOf("", { body, headers: { h: text }, query: {} });
          writeFileSync(path(), encodeSpooled({ source: "vans", message }));
          const { messages, tornBytes } = await readSpoolFile(path());
          expect(tornBytes).toBe(0);
          expect(messages).toEqual([{ source: "vans", message: { ...message, body: new Uint8Array(body) } }]);
        },
      ),
      { numRuns: 100 },
    );
  });

  test("cut anywhere, it gives back what is whole before the cut", async () => {
    const records = ["a", "bb", "ccc"].map((text) =>
      encodeSpooled({ source: "vans", message: messageOf(text) }),
    );
    const whole = Buffer.concat(records);
    const ends = records.map((_, i) => records.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0));
    for (let cut = 0; cut <= whole.length; cut++) {
      writeFileSync(path(), whole);
      truncateSync(path(), cut);
      const { messages, tornBytes } = await readSpoolFile(path());
      const expected = ends.filter((end) => end <= cut).length;
      expect(messages).toHaveLength(expected);
      expect(tornBytes).toBe(cut - (ends[expected - 1] ?? 0));
    }
  });

  test("a flipped bit ends what is believed", async () => {
    const record = encodeSpooled({ source: "vans", message: messageOf("a") });
    for (let at = 0; at < record.length; at++) {
      const damaged = Buffer.from(record);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      writeFileSync(path(), damaged);
      expect((await readSpoolFile(path())).messages).toEqual([]);
    }
  });

  test("garbage after the last record is told in bytes", async () => {
    writeFileSync(path(), encodeSpooled({ source: "vans", message: messageOf("a") }));
    appendFileSync(path(), Buffer.alloc(37, 255));
    const { messages, tornBytes } = await readSpoolFile(path());
    expect(messages).toHaveLength(1);
    expect(tornBytes).toBe(37);
    expect(statSync(path()).size).toBeGreaterThan(37);
  });
});
