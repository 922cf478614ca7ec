/** Tenants of the API on a real Redis: what is stored, what every process learns of it, and what is refused. */

import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { createTenantStore } from "../../src/queue/redis/tenant-store.ts";
import {
  type Change,
  type ChangesDeps,
  createTenantChanges,
  type Validate,
} from "../../src/tenants/changes.ts";
import { createTenantDocuments } from "../../src/tenants/documents.ts";
import { createSeal } from "../../src/tenants/seal.ts";
import { isRecord } from "../../src/untrusted.ts";
import { until } from "../support/wait.ts";

const KEYS = [Buffer.alloc(32, "first key 012345678"), Buffer.alloc(32, "other key 987654321")];
const SECRET = "fQ72-not-in-redis-9dK2x";
const DOCUMENT = {
  sources: { "acme-vans": { vendor: "json", destination: "acme", auth: { secret: SECRET } } },
  destinations: { acme: { tenant: "1000001", clientSecret: `${SECRET}-too` } },
};

/** Every text under a name with "secret" in it. */
function hide(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(hide);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, /secret/i.test(key) ? "(set)" : hide(item)]),
  );
}

let redis: PrivateRedis;
let db: Redis;
const closers: (() => void)[] = [];
beforeAll(async () => {
  redis = await startPrivateRedis();
  db = new Redis(redis.url);
});
afterAll(async () => {
  for (const close of closers) close();
  db.disconnect();
  await redis.stop();
});

let prefixes = 0;
let prefix = "";
beforeEach(() => {
  prefix = `t${++prefixes}`;
});

/** One process. */
function open({
  keys = KEYS.slice(0, 1),
  validate = () => ({ kind: "right" as const }),
  isOfFile = () => false,
}: { keys?: readonly Buffer[] } & Partial<Pick<ChangesDeps, "validate" | "isOfFile">> = {}) {
  const seal = createSeal(keys);
  const store = createTenantStore(db, prefix);
  const failures: unknown[] = [];
  const documents = createTenantDocuments({ store, seal, failed: (error) => void failures.push(error) });
  closers.push(documents.stop);
  const changes = createTenantChanges({ store, documents, seal, hide, validate, isOfFile });
  return { documents, changes, failures, store };
}

const CREATE: Change = { kind: "create", document: DOCUMENT };

test("a tenant is created, read, replaced, paused and deleted, and other processes follow by themselves", async () => {
  const { changes, documents } = open();
  const other = open();
  await other.documents.refresh();
  const created = await changes.apply("acme", CREATE);
  expect(created).toMatchObject({ kind: "done", isRepeated: false, generated: [] });
  expect(documents.current().get("acme")?.document).toEqual(DOCUMENT);
  await until(() => other.documents.current().has("acme"), { what: "the other process to know it" });
  expect(other.documents.current().get("acme")?.document).toEqual(DOCUMENT);

  const revision = documents.current().get("acme")?.revision ?? 0;
  const paused = await changes.apply("acme", { kind: "pause", revision });
  expect(paused).toMatchObject({ kind: "done", tenant: { isPaused: true } });
  expect(await changes.apply("acme", { kind: "resume", revision })).toMatchObject({ kind: "stale" });
  expect(await changes.apply("acme", { kind: "resume", revision: null })).toMatchObject({ kind: "done" });

  const secret = { ...DOCUMENT, limits: { devices: 5 } };
  const shown = hide(secret);
  const replaced = await changes.apply("acme", { kind: "replace", document: shown, revision: null });
  expect(replaced).toMatchObject({ kind: "done", tenant: { document: secret } });

  expect(await changes.apply("acme", { kind: "delete", revision: null })).toMatchObject({ kind: "deleted" });
  await until(() => !other.documents.current().has("acme"), { what: "it to be gone there" });
  expect(await changes.apply("acme", { kind: "delete", revision: null })).toEqual({ kind: "missing" });
});

test("Redis holds no secret in clear, and a sealed one is of no use at another tenant's place", async () => {
  const { changes, documents } = open();
  await changes.apply("acme", CREATE, "key-1");
  const all = JSON.stringify([
    await db.hgetall(`{${prefix}-tenants}:documents`),
    await db.hgetall(`{${prefix}-tenants}:answers`),
  ]);
  expect(all).toContain("sealed:1:");
  expect(all).not.toContain(SECRET);
  expect(all).not.toContain("key-1");

  const stolen = await db.hget(`{${prefix}-tenants}:documents`, "acme");
  await db.hset(`{${prefix}-tenants}:documents`, "mallory", String(stolen));
  await db.incr(`{${prefix}-tenants}:revision`);
  await documents.refresh();
  expect([...documents.current().keys()]).toEqual(["acme"]);
  expect(documents.closed().get("mallory")?.why).toContain("cannot be opened");
});

test("without a key nothing with a secret is stored; with another key the tenant is left out, and told", async () => {
  expect(await open({ keys: [] }).changes.apply("acme", CREATE)).toEqual({ kind: "no_key" });
  await open().changes.apply("acme", CREATE);
  const stranger = open({ keys: KEYS.slice(1) });
  await stranger.documents.refresh();
  expect(stranger.documents.current().size).toBe(0);
  expect(String(stranger.failures[0])).toContain("a key that is not in WAYPOST_SEAL_KEY");
  expect(await stranger.changes.apply("acme", { kind: "pause", revision: null })).toMatchObject({
    kind: "closed",
  });
});

test("with a new key in front everything is sealed anew, and then the old key is not needed", async () => {
  await open().changes.apply("acme", CREATE);
  const rotating = open({ keys: [...KEYS].reverse() });
  expect(await rotating.changes.reseal()).toEqual({ kind: "done", resealed: 1 });
  expect(await rotating.changes.reseal()).toEqual({ kind: "done", resealed: 0 });
  const after = open({ keys: KEYS.slice(1) });
  await after.documents.refresh();
  expect(after.documents.current().get("acme")?.document).toEqual(DOCUMENT);
});

describe("a request with a key", () => {
  test("is done once, and answered the same again, with the secrets that were made", async () => {
    const { changes } = open();
    const document = {
      ...DOCUMENT,
      sources: { vans: { auth: { secret: "(generate)" } } },
    };
    const first = await changes.apply("acme", { kind: "create", document }, "key-1");
    const again = await changes.apply("acme", { kind: "create", document }, "key-1");
    expect(first).toMatchObject({ kind: "done", generated: [{ pointer: "/sources/vans/auth/secret" }] });
    expect(again).toMatchObject({ kind: "done", isRepeated: true });
    if (first.kind !== "done" || again.kind !== "done") throw new Error("was not done");
    expect(again.generated).toEqual(first.generated);
    expect(await changes.apply("acme", CREATE, "key-1")).toEqual({ kind: "other_request" });
    expect(await changes.apply("acme", CREATE, "key-2")).toEqual({ kind: "exists", where: "api" });
  });

  test("that comes twice at once creates one tenant", async () => {
    const { changes } = open();
    const both = await Promise.all([1, 2].map(() => changes.apply("acme", CREATE, "key-1")));
    expect(both.map(({ kind }) => kind)).toEqual(["done", "done"]);
    expect(await db.hlen(`{${prefix}-tenants}:documents`)).toBe(1);
  });
});

test("changes of several processes at once all arrive", async () => {
  const processes = [open(), open(), open()];
  const names = ["a", "b", "c", "d", "e", "f"];
  const done = await Promise.all(
    names.map((name, i) => processes[i % 3]?.changes.apply(name, { kind: "create", document: {} })),
  );
  expect(done.map((each) => each?.kind)).toEqual(names.map(() => "done"));
  await until(() => processes.every(({ documents }) => documents.current().size === names.length), {
    what: "all of them",
  });
});

test("what is wrong is told by JSON pointers, of this tenant alone", async () => {
  const validate: Validate = () => ({
    kind: "wrong",
    problems: [
      { path: "sources.a/b", message: "is wrong", tenant: "acme", steps: ["sources", "a/b", 0, "x~y"] },
      { path: "sources", message: "was wrong before", tenant: "bolt", steps: ["sources"] },
    ],
  });
  expect(await open({ validate }).changes.apply("acme", CREATE)).toEqual({
    kind: "wrong",
    problems: [{ pointer: "/sources/a~1b/0/x~0y", detail: "is wrong" }],
  });
  const files: Validate = () => ({ kind: "wrong", problems: [{ path: "http.port", message: "is wrong" }] });
  const answer = await open({ validate: files }).changes.apply("acme", CREATE);
  expect(answer).toMatchObject({ kind: "wrong", problems: [{ pointer: "" }] });
});

test.each([
  ["(set)", "there is no secret to keep"],
  ["(sealed)", "an export has no secrets"],
  ["(generate)", "cannot be generated"],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what is refused
  ["${SECRET}", "which only files may"],
  ["sealed:1:00000000:AAAA", "is sealed already"],
])("%s is no secret", async (clientSecret, words) => {
  const document = { destinations: { acme: { clientSecret } } };
  const answer = await open().changes.apply("acme", { kind: "create", document });
  expect(answer).toMatchObject({ kind: "wrong", problems: [{ pointer: "/destinations/acme/clientSecret" }] });
  expect(JSON.stringify(answer)).toContain(words);
});

test("a tenant of a file is not the API's to create or to change", async () => {
  const { changes } = open({ isOfFile: (name) => name === "acme" });
  expect(await changes.apply("acme", CREATE)).toEqual({ kind: "exists", where: "file" });
  expect(await changes.apply("acme", { kind: "delete", revision: null })).toEqual({ kind: "of_file" });
});

test("a Redis that was emptied takes no tenant from a process that knows it", async () => {
  const { changes, documents, failures } = open();
  await changes.apply("acme", CREATE);
  await db.del(`{${prefix}-tenants}:documents`, `{${prefix}-tenants}:revision`);
  await until(() => failures.length > 0, { what: "the loss to be told" });
  expect(String(failures[0])).toContain("has lost the tenants");
  expect(documents.current().has("acme")).toBe(true);
});
