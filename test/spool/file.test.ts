/** What a crash, a full disk or a bad one does to a file of the spool. */

import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Message } from "../../src/adapters/kit/adapter.ts";
import { openSpoolDirectory } from "../../src/spool/directory.ts";
import {
  dropDone,
  newSpoolName,
  openSpoolMarks,
  openSpoolWriter,
  readSpoolFile,
} from "../../src/spool/file.ts";
import { makeDirectory } from "../../src/spool/permissions.ts";
import { encodeSpooled } from "../../src/spool/record.ts";
import { because } from "../support/because.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "waypost-spool-"));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(dir, { recursive: true, force: true });
});

function messageOf(text: string, more: Partial<Message> = {}): Message {
  return {
    body: Buffer.from(text),
    receivedAt: 1_795_000_000_000,
    method: "POST",
    headers: { "content-type": "application/json" },
    query: {},
    retained: false,
    ...more,
  };
}

/** Writes a file of these texts, and says where it is. */
async function written(texts: readonly string[]): Promise<string> {
  const path = join(dir, newSpoolName(1));
  const writer = await openSpoolWriter(path);
  for (const text of texts) await writer.append(encodeSpooled({ source: "vans", message: messageOf(text) }));
  await writer.close();
  return path;
}

async function waitingIn(path: string): Promise<string[]> {
  const { records } = await readSpoolFile(path);
  return records.filter(({ isDone }) => !isDone).map(({ message }) => Buffer.from(message.body).toString());
}

async function marked(path: string, texts: readonly string[]): Promise<void> {
  const marks = openSpoolMarks(path);
  for (const record of (await readSpoolFile(path)).records) {
    if (texts.includes(Buffer.from(record.message.body).toString())) await marks.markDone(record);
  }
  await marks.close();
}

test("after a failed write nothing is written behind the torn record", async () => {
  const path = join(dir, "0000000001.spool");
  const writer = await openSpoolWriter(path);
  await writer.append(encodeSpooled({ source: "vans", message: messageOf("a") }));
  await writer.close();
  await expect(writer.append(encodeSpooled({ source: "vans", message: messageOf("b") }))).rejects.toThrow();
  expect(writer.isBroken()).toBe(true);
  expect((await readSpoolFile(path)).records).toHaveLength(1);
});

const noProc = existsSync("/proc/self/fd") ? null : "there is no /proc/self/fd: run the tests on Linux";

test.skipIf(noProc !== null)(
  `a message is on the disk when it is said to be, and so is every name that leads to it${because(noProc)}`,
  async () => {
    const synced: string[] = [];
    const handle = await open(dir);
    const prototype: FileHandle = Object.getPrototypeOf(handle);
    await handle.close();
    for (const method of ["sync", "datasync"] as const) {
      const really = prototype[method];
      vi.spyOn(prototype, method).mockImplementation(function (this: FileHandle) {
        synced.push(readlinkSync(`/proc/self/fd/${this.fd}`));
        return really.call(this);
      });
    }
    const nested = join(dir, "a", "b");
    await makeDirectory(nested);
    expect(synced.sort()).toEqual([dir, join(dir, "a")]);
    synced.length = 0;
    const directory = await openSpoolDirectory({ dir: nested, maxBytes: 1_000_000, begun: () => {} });
    await directory.append({ source: "vans", message: messageOf("a") });
    expect(synced).toEqual([nested, directory.files()[0]?.path]);
    synced.length = 0;
    await directory.append({ source: "vans", message: messageOf("b") });
    expect(synced).toEqual([directory.files()[0]?.path]);
    await directory.close();
  },
);

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
          const { records, tornBytes, damagedBytes } = await readSpoolFile(path());
          expect([tornBytes, damagedBytes]).toEqual([0, 0]);
          expect(records).toEqual([
            {
              at: 0,
              end: statSync(path()).size,
              isDone: false,
              source: "vans",
              message: { ...message, body: new Uint8Array(body) },
            },
          ]);
        },
      ),
      { numRuns: 100 },
    );
  });

  test("cut anywhere, it gives back what is whole before the cut", async () => {
    for (const marker of ["", newSpoolName(1).slice(11, 27)]) {
      const texts = ["a", "bb", "ccc"];
      const name = marker === "" ? path() : join(dir, `0000000001-${marker}.spool`);
      const records = texts.map((text) =>
        Buffer.concat([
          Buffer.from(marker, "hex"),
          encodeSpooled({ source: "vans", message: messageOf(text) }),
        ]),
      );
      const whole = Buffer.concat(records);
      const ends = records.map((_, i) =>
        records.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0),
      );
      for (let cut = 0; cut <= whole.length; cut++) {
        writeFileSync(name, whole);
        truncateSync(name, cut);
        const found = await readSpoolFile(name);
        const expected = ends.filter((end) => end <= cut).length;
        expect(found.records).toHaveLength(expected);
        expect(found.damagedBytes).toBe(0);
        expect(found.tornBytes).toBe(cut - (ends[expected - 1] ?? 0));
      }
    }
  });

  test("a flipped bit never changes a message: it comes as it was, or not at all", async () => {
    const message = messageOf("a");
    const record = encodeSpooled({ source: "vans", message });
    for (let bit = 0; bit < record.length * 8; bit++) {
      const damaged = flipped(record, bit);
      writeFileSync(path(), damaged);
      const { records } = await readSpoolFile(path());
      // The state is not under the checksum: a message that waits goes on to.
      if (bit < 4)
        expect(records).toMatchObject([
          { isDone: false, source: "vans", message: { ...message, body: new Uint8Array(message.body) } },
        ]);
      else expect(records).toEqual([]);
    }
  });

  test("a flipped bit costs its record at most, wherever it is", async () => {
    // What a sender wrote into the body looks like a record of another source.
    const forged = encodeSpooled({ source: "forged", message: messageOf("forged") }).toString("latin1");
    const texts = ["aaa", "bbb", `ccc ${forged}`, "ddd"];
    const name = await written(texts);
    const whole = await readFile(name);
    const { records } = await readSpoolFile(name);
    expect(records).toHaveLength(4);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      writeFileSync(name, flipped(whole, bit));
      const found = await readSpoolFile(name);
      const hit = records.findIndex(({ end }) => bit < end * 8);
      const others = records.filter((_, i) => i !== hit);
      expect(found.records.filter(({ at }) => at !== records[hit]?.at)).toEqual(others);
      expect(found.records.every(({ source, isDone }) => source === "vans" && !isDone)).toBe(true);
      const lost = found.records.length < 4;
      const bytes = (records[hit]?.end ?? 0) - (records[hit]?.at ?? 0);
      expect(found.damagedBytes + found.tornBytes).toBe(lost ? bytes : 0);
      // Only an end may be taken for torn.
      if (hit < 3) expect(found.tornBytes).toBe(0);
    }
  });

  test("without a marker, a damaged record is passed by its length, where that is whole", async () => {
    const records = ["a", "b", "c"].map((text) =>
      encodeSpooled({ source: "vans", message: messageOf(text) }),
    );
    const whole = Buffer.concat(records);
    const [{ length } = whole] = records;
    writeFileSync(path(), flipped(whole, (length + 20) * 8));
    expect(await waitingIn(path())).toEqual(["a", "c"]);
    writeFileSync(path(), flipped(whole, (length + 3) * 8));
    expect(await waitingIn(path())).toEqual(["a"]);
    expect(await readSpoolFile(path())).toMatchObject({ tornBytes: 0, damagedBytes: 2 * length });
  });

  test("zeros where records should be are damage, not a torn end", async () => {
    const name = await written(["a", "b"]);
    appendFileSync(name, Buffer.alloc(100));
    expect(await readSpoolFile(name)).toMatchObject({ tornBytes: 0, damagedBytes: 100 });
  });

  test("garbage after the last record is counted in bytes", async () => {
    writeFileSync(path(), encodeSpooled({ source: "vans", message: messageOf("a") }));
    appendFileSync(path(), Buffer.alloc(37, 255));
    const { records, tornBytes } = await readSpoolFile(path());
    expect(records).toHaveLength(1);
    expect(tornBytes).toBe(37);
    expect(statSync(path()).size).toBeGreaterThan(37);
  });

  test("records are marked done in their place, and dropped together", async () => {
    const name = await written(["a", "b", "c", "d"]);
    const { size } = statSync(name);
    await marked(name, ["a", "c"]);
    expect(statSync(name).size).toBe(size);
    expect(await waitingIn(name)).toEqual(["b", "d"]);
    expect(await dropDone(name, ({ isDone }) => isDone)).toBe(statSync(name).size);
    expect(statSync(name).size).toBe(size / 2);
    expect(await waitingIn(name)).toEqual(["b", "d"]);
  });

  test("so are those of a file without a marker", async () => {
    const texts = ["a", "b"];
    writeFileSync(
      path(),
      Buffer.concat(texts.map((text) => encodeSpooled({ source: "vans", message: messageOf(text) }))),
    );
    await marked(path(), ["a"]);
    expect(await waitingIn(path())).toEqual(["b"]);
  });

  test("one that becomes shorter keeps what cannot be read, and a longest record its length", async () => {
    const name = await written(["a", "b", "x".repeat(20_000_000)]);
    const whole = await readFile(name);
    const [, b] = (await readSpoolFile(name)).records;
    const damaged = flipped(whole, ((b?.at ?? 0) + 20) * 8);
    writeFileSync(name, damaged);
    await marked(name, ["a"]);
    await dropDone(name, ({ isDone }) => isDone);
    expect((await readFile(name)).equals(damaged.subarray(b?.at))).toBe(true);
    await marked(name, await waitingIn(name));
    const { records } = await readSpoolFile(name);
    expect(records).toMatchObject([{ isDone: true }]);
    await dropDone(name, ({ isDone }) => isDone);
    expect((await readFile(name)).equals(damaged.subarray(b?.at, b?.end))).toBe(true);
  });
});

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  const at = bit >> 3;
  copy.writeUInt8(copy.readUInt8(at) ^ (0x80 >> (bit & 7)), at);
  return copy;
}
