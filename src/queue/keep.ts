/** Keeps readings: duplicate check, storage and counters in one atomic step per message, written together with others. */

import { createHash } from "node:crypto";
import { type Redis, ReplyError } from "ioredis";
import { CannotKeep, type Keep, type KeepEntry, type KeepVerdict, type RefusalReason } from "../intake.ts";
import type { Reading, RejectionReason } from "../reading.ts";
import { run, script } from "./lua.ts";
import type { Quarantine } from "./quarantine.ts";
import { createRetryAfter, type RetryAfter } from "./retry-after.ts";
import type { Route, RoutedReading, Routes } from "./routes.ts";

/**
 * ARGV: number of destinations and name/byte-limit pairs; number of messages; per message: source, receivedAt,
 * fingerprint of its body or "", number of counters and field/amount pairs, number of readings; per reading: device,
 * place byte, "" or "maxImpliedMps;minIntervalMs;lat;lon" (radians, limits may be empty), number of routes followed by
 * f or h where the device is unmapped and forwarded or held; per route: line (destination|lane|source), record.
 * Few and short: what Redis and its client do per argument is most of what a reading costs.
 *
 * A device's fingerprints are one string of 5-byte entries: the fix time's low 32 bits (unique over 49 days) and one
 * byte of the place. 44 entries make 220 bytes, which with the string's head fills jemalloc's 224-byte class exactly.
 *
 * Returns per message: 1, kept, duplicates, jumps, thinned; or 0 where a buffer is full and nothing of the message was
 * stored, the buffer's bytes, its destination's place among those of ARGV, how long its gate stays shut in ms, 0; then
 * per touched line its name and length.
 */
const KEEP = script(`
local at = 1
local function take() at = at + 1; return ARGV[at - 1] end
local full, bytesAdded = {}, {}
for i = 1, tonumber(take()) do
  local destination, limit = take(), tonumber(take())
  -- Looked at once per call, so a buffer may exceed its budget by one call's readings.
  local bytes = tonumber(redis.call('HGET', p .. ':dest:' .. destination, 'bytes')) or 0
  if bytes >= limit then
    local shut = math.max((maySend(p .. ':gate', '', nil)), (maySend(p .. ':gate:' .. destination, '', nil)))
    full[destination] = { bytes, i - 1, shut }
  end
end
local anyFull = next(full) ~= nil
local out, arrivals, order, lastSeen = {}, {}, {}, {}
local function destinationOf(line) return string.sub(line, 1, string.find(line, '|', 1, true) - 1) end
-- Per source: device → its fingerprints, and the devices that were asked for and those that changed.
local prints, asked, changed = {}, {}, {}
local function seen(source, device, fixTime, place)
  local known = prints[source][device]
  local time = struct.pack('>I4', fixTime % 4294967296)
  local from = 1
  while true do
    local found = string.find(known, time, from, true)
    if not found then break end
    if found % 5 == 1 then return string.byte(known, found + 4) == place and 'duplicate' or 'conflict' end
    from = found + 1
  end
  prints[source][device] = string.sub(known, -215) .. time .. string.char(place)
  changed[source][device] = true
  return nil
end
local lastFix, lastChanged = {}, {}
local function impliedMps(fromLat, fromLon, lat, lon, seconds)
  local dLat, dLon = lat - fromLat, lon - fromLon
  local h = math.sin(dLat / 2) ^ 2 + math.cos(lat) * math.cos(fromLat) * math.sin(dLon / 2) ^ 2
  return 2 * 6371008.8 * math.asin(math.min(1, math.sqrt(h))) / math.abs(seconds)
end
-- What is remembered: time and place of the last good fix, then those of a run of jumps that agree with each other.
local function filtered(source, device, fixTime, filter)
  local maxImplied, minInterval, latText, lonText = string.match(filter, '^(.-);(.-);(.-);(.*)$')
  local key = source .. '|' .. device
  local last = lastFix[key]
  if last == nil then last = redis.call('HGET', p .. ':last:' .. source, device); lastFix[key] = last end
  local lat, lon = tonumber(latText), tonumber(lonText)
  if last then
    local t, lastLat, lastLon, run = string.match(last, '([^,]+),([^,]+),([^,]+),?(.*)')
    local dt = (fixTime - tonumber(t)) / 1000
    if minInterval ~= '' and math.abs(dt) * 1000 < tonumber(minInterval) then return 'thinned' end
    local limit = maxImplied ~= '' and dt ~= 0 and tonumber(maxImplied)
    if limit and impliedMps(tonumber(lastLat), tonumber(lastLon), lat, lon, dt) > limit then
      if dt < 0 then return 'implausible_jump' end
      local since, runT, runLat, runLon = string.match(run, '([^,]+),([^,]+),([^,]+),([^,]+)')
      local agrees = since and fixTime > tonumber(runT)
        and impliedMps(tonumber(runLat), tonumber(runLon), lat, lon, (fixTime - tonumber(runT)) / 1000) <= limit
      if not agrees then since = fixTime end
      -- Jumps that agree for a minute are where the vehicle is: it was the last good fix that was wrong.
      if fixTime - tonumber(since) < 60000 then
        lastFix[key] = table.concat({ t, lastLat, lastLon, since, fixTime, latText, lonText }, ',')
        lastChanged[key] = { source, device }
        return 'implausible_jump'
      end
    elseif dt < 0 then return nil end
  end
  lastFix[key] = fixTime .. ',' .. latText .. ',' .. lonText
  lastChanged[key] = { source, device }
  return nil
end
local function hold(source, device, fixTime, record)
  local before = redis.call('HGET', p .. ':held:' .. source, device)
  if before then count(source, 'superseded', 1) end
  if not before or fixTimeOf(before) < fixTime then redis.call('HSET', p .. ':held:' .. source, device, record) end
end
local function store(line, record)
  local records = arrivals[line]
  if not records then
    records = {}
    arrivals[line] = records
    order[#order + 1] = line
  end
  records[#records + 1] = record
end
-- First look at all messages: which devices they are of, and whether their destinations have room.
local messages = tonumber(take())
local firstMessage, turnedAway = at, {}
for m = 1, messages do
  local source = take()
  at = at + 2
  local counters = tonumber(take())
  at = at + 2 * counters
  local readings = tonumber(take())
  if readings > 0 and not prints[source] then prints[source], asked[source], changed[source] = {}, {}, {} end
  for i = 1, readings do
    local device = take()
    if not prints[source][device] then
      prints[source][device] = ''
      table.insert(asked[source], device)
    end
    at = at + 2
    for r = 1, tonumber(string.match(take(), '^%d+')) do
      local inTheWay = anyFull and full[destinationOf(ARGV[at])]
      if inTheWay then turnedAway[m] = inTheWay end
      at = at + 2
    end
  end
end
for source, devices in pairs(asked) do
  for i, known in ipairs(hashValues(p .. ':fp:' .. source, devices)) do
    if known then prints[source][devices[i]] = known end
  end
end
at = firstMessage
for m = 1, messages do
  local source, receivedAt, bodyPrint = take(), take(), take()
  local counters = tonumber(take())
  local firstCounter = at
  at = at + 2 * counters
  local readings = tonumber(take())
  local kept, duplicates, jumps, thinned = 0, 0, 0, 0
  if turnedAway[m] then
    for i = 1, readings do
      at = at + 3
      local routes = tonumber(string.match(take(), '^%d+'))
      at = at + 2 * routes
    end
  else
    for i = firstCounter, firstCounter + 2 * counters - 2, 2 do count(source, ARGV[i], tonumber(ARGV[i + 1])) end
    lastSeen[source] = receivedAt
    local resent = bodyPrint ~= '' and not redis.call('SET', p .. ':body:' .. bodyPrint, 1, 'NX', 'EX', 600)
    for i = 1, readings do
      local device, place, filter, ways = take(), tonumber(take()), take(), take()
      local routes = tonumber(string.match(ways, '^%d+'))
      local fixTime = fixTimeOf(ARGV[at + 1])
      local verdict = resent and 'duplicate' or seen(source, device, fixTime, place)
        or filter ~= '' and filtered(source, device, fixTime, filter)
      count(source, 'candidates', routes)
      if verdict then
        at = at + 2 * routes
        if verdict == 'thinned' or verdict == 'implausible_jump' then
          count(source, 'rejected', routes)
          count(source, 'rejected:' .. verdict, routes)
          if verdict == 'thinned' then thinned = thinned + routes else jumps = jumps + routes end
        else
          duplicates = duplicates + routes
          if verdict == 'conflict' then count(source, 'conflictingFixes', routes) end
        end
      else
        kept = kept + routes
        local unmapped = string.match(ways, '%a')
        if unmapped then redis.call('HSET', p .. ':unmapped:' .. source, device, fixTime) end
        for r = 1, routes do
          local line, record = take(), take()
          if unmapped == 'h' then hold(source, device, fixTime, record) else store(line, record) end
        end
      end
    end
    if kept > 0 then count(source, 'kept', kept) end
    if duplicates > 0 then count(source, 'duplicates', duplicates) end
  end
  local verdict = turnedAway[m] and { 0, unpack(turnedAway[m]) } or { 1, kept, duplicates, jumps, thinned }
  for i = 1, 5 do out[#out + 1] = verdict[i] or 0 end
end
for source, devices in pairs(changed) do
  local flat = {}
  for device in pairs(devices) do
    flat[#flat + 1] = device
    flat[#flat + 1] = prints[source][device]
  end
  pushAll('HSET', p .. ':fp:' .. source, flat)
end
for key, owner in pairs(lastChanged) do redis.call('HSET', p .. ':last:' .. owner[1], owner[2], lastFix[key]) end
for source, receivedAt in pairs(lastSeen) do redis.call('HSET', p .. ':n:' .. source, 'lastMessageAt', receivedAt) end
writeCounts()
for _, line in ipairs(order) do
  local records, bytes = arrivals[line], 0
  for _, r in ipairs(records) do bytes = bytes + #r end
  local destination = destinationOf(line)
  bytesAdded[destination] = (bytesAdded[destination] or 0) + bytes
  pushAll('RPUSH', p .. ':q:' .. line, records)
  local length = redis.call('LLEN', p .. ':q:' .. line)
  if length == #records then
    local lane, source = string.match(line, '^(.-|.-)|(.*)$')
    redis.call('SADD', p .. ':lanes', lane)
    redis.call('SADD', p .. ':lines:' .. lane, source)
  end
  out[#out + 1] = line
  out[#out + 1] = length
end
for destination, n in pairs(bytesAdded) do redis.call('HINCRBY', p .. ':dest:' .. destination, 'bytes', n) end
return out
`);

/** Messages per script call: Redis serves nobody else meanwhile, and 64 single readings take it well under a millisecond. */
const MAX_MESSAGES_PER_CALL = 64;
/** A bound in readings too: 2,000 cost Redis about 15 ms. A single larger message still goes in one call. */
const MAX_READINGS_PER_CALL = 2000;
/** Calls under way per scope: the second is built and sent while Redis works on the first. */
const MAX_CALLS_UNDER_WAY = 2;
/** A message with more readings of one device than this could push its own first fixes out of the fingerprints. */
const READINGS_WORTH_A_BODY_PRINT = 16;

/** What a source adds to keeping. */
export interface KeepSource {
  name: string;
  /** Key prefix of the scope of the source's own destination: message counters and quarantine live there. */
  home: string;
  maxImpliedMps: number | undefined;
  minIntervalMs: number | undefined;
}

export interface KeepOptions {
  redis: Redis;
  sources: ReadonlyMap<string, KeepSource>;
  routes: Routes;
  quarantine: Quarantine;
  /** How long a message may wait for company; 0: until the event loop has taken what arrived together with it. */
  groupCommitMs: number;
  /** Called after every commit with what now waits where, so that a full batch is cut at once. */
  arrived(line: string, length: number): void;
  committed(event: { messages: number; readings: number; tookMs: number }): void;
}

type Args = (string | number)[];

/** What one message asks of one scope, ready for the script. */
interface Write {
  source: string;
  receivedAt: number;
  bodyPrint: string;
  counters: Args;
  readings: Args;
  readingCount: number;
}

interface Part {
  write: Write;
  settle(verdict: KeepVerdict): void;
  fail(error: CannotKeep): void;
}

/** The keep of design §2. `drain` resolves when nothing is waiting to be written any more. */
export function createKeep(options: KeepOptions): Keep & { drain(): Promise<void> } {
  const { redis, sources, routes, quarantine } = options;
  const writers = new Map<string, ReturnType<typeof createWriter>>();
  const retryAfter = createRetryAfter();
  /** Refusals are counted without being waited for; what Redis did not take yet stays here. */
  let refusals = new Map<string, Map<string, number>>();
  let refusalTimer: NodeJS.Timeout | undefined;

  function writer(scope: string) {
    let found = writers.get(scope);
    if (!found) {
      found = createWriter(redis, scope, options, retryAfter);
      writers.set(scope, found);
    }
    return found;
  }

  async function keep(entry: KeepEntry): Promise<KeepVerdict> {
    const source = sourceOf(entry.source);
    if (entry.kind === "malformed") return quarantineMessage(source, entry);
    const counters = messageCounters(entry);
    if (entry.kind !== "read" || entry.readings.length === 0) {
      return writer(source.home).add(countersOnly(source.name, entry.receivedAt, counters));
    }
    const byScope = routes.group(source.name, entry.readings);
    const body = bodyPrint(entry.readings, entry.body);
    const verdicts: KeepVerdict[] = [];
    // The message itself is counted once, where the source is at home; readings are counted where they are kept. Home
    // comes last: a message that does not fit elsewhere is sent again, and must not be counted before it is kept.
    const atHome = byScope.get(source.home) ?? [];
    byScope.delete(source.home);
    byScope.set(source.home, atHome);
    for (const [scope, routed] of byScope) {
      const own = scope === source.home ? counters : [];
      // One call per message, but for a giant one: Redis must not be kept from everybody else for a second. Each piece
      // has a body print and counts of its own, so a message cut short by an outage is completed by its resend.
      const pieces = Math.max(1, Math.ceil(routed.length / MAX_READINGS_PER_CALL));
      for (let i = 0; i < pieces; i++) {
        const piece = routed.slice(i * MAX_READINGS_PER_CALL, (i + 1) * MAX_READINGS_PER_CALL);
        verdicts.push(
          await writer(scope).add({
            source: source.name,
            receivedAt: entry.receivedAt,
            bodyPrint: body && `${source.name}:${body}:${i}`,
            counters: i === pieces - 1 ? own : [],
            readings: readingsArgs(source, piece),
            readingCount: piece.length,
          }),
        );
      }
    }
    return merge(verdicts);
  }

  async function quarantineMessage(source: KeepSource, entry: KeepEntry & { kind: "malformed" }) {
    try {
      await quarantine.add(source.home, source.name, entry);
    } catch (error) {
      throw new CannotKeep("storage_unavailable", retryAfter.storageAway(), error);
    }
    return NOTHING;
  }

  function refuse(name: string, reason: RefusalReason): void {
    const source = sources.get(name);
    if (!source) return;
    const fields = refusals.get(source.name) ?? new Map<string, number>();
    for (const field of ["messages", "refused", `refused:${reason}`]) {
      fields.set(field, (fields.get(field) ?? 0) + 1);
    }
    refusals.set(source.name, fields);
    refusalTimer ??= setTimeout(() => void writeRefusals(), 50);
  }

  async function writeRefusals(): Promise<void> {
    refusalTimer = undefined;
    const batch = refusals;
    refusals = new Map();
    for (const [name, fields] of batch) {
      const source = sourceOf(name);
      try {
        await writer(source.home).add(countersOnly(name, Date.now(), [...fields].flat()));
      } catch {
        const waiting = refusals.get(name) ?? new Map<string, number>();
        for (const [field, n] of fields) waiting.set(field, (waiting.get(field) ?? 0) + n);
        refusals.set(name, waiting);
        refusalTimer ??= setTimeout(() => void writeRefusals(), 1000);
      }
    }
  }

  function sourceOf(name: string): KeepSource {
    const source = sources.get(name);
    if (!source) throw new Error(`Source "${name}" is not configured.`);
    return source;
  }

  async function drain(): Promise<void> {
    clearTimeout(refusalTimer);
    await writeRefusals();
    await Promise.all([...writers.values()].map((each) => each.idle()));
  }

  return { keep, refuse, drain };
}

const NO_REJECTIONS: ReadonlyMap<RejectionReason, number> = new Map();
const NOTHING: KeepVerdict = { kept: 0, duplicates: 0, rejections: NO_REJECTIONS };

/** Gathers what arrives while a call is under way and writes it with the next one. */
function createWriter(
  redis: Redis,
  scope: string,
  { routes, groupCommitMs, arrived, committed }: KeepOptions,
  retryAfter: RetryAfter,
) {
  let pending: Part[] = [];
  let underWay = 0;
  let idleWaiters: (() => void)[] = [];

  function add(write: Write): Promise<KeepVerdict> {
    return new Promise((resolve, reject) => {
      pending.push({ write, settle: resolve, fail: reject });
      if (underWay >= MAX_CALLS_UNDER_WAY || pending.length > 1) return;
      if (groupCommitMs > 0) setTimeout(flush, groupCommitMs);
      else setImmediate(flush);
    });
  }

  function flush(): void {
    while (pending.length > 0 && underWay < MAX_CALLS_UNDER_WAY) void commit(nextGroup());
  }

  function nextGroup(): Part[] {
    let readings = 0;
    let n = 0;
    for (const part of pending) {
      if (
        n === MAX_MESSAGES_PER_CALL ||
        (n > 0 && readings + part.write.readingCount > MAX_READINGS_PER_CALL)
      )
        break;
      readings += part.write.readingCount;
      n++;
    }
    const group = pending.slice(0, n);
    pending = pending.slice(n);
    return group;
  }

  async function commit(group: Part[]): Promise<void> {
    underWay++;
    const startedAt = performance.now();
    try {
      const args: Args = [...routes.limits(scope), group.length];
      for (const { write } of group) appendArgs(args, write);
      const reply = await run(redis, KEEP, scope, args);
      committed({
        messages: group.length,
        readings: group.reduce((sum, part) => sum + part.write.readingCount, 0),
        tookMs: performance.now() - startedAt,
      });
      retryAfter.storageBack();
      group.forEach((part, i) => {
        answer(part, reply.slice(5 * i, 5 * i + 5));
      });
      for (let i = 5 * group.length; i < reply.length; i += 2)
        arrived(String(reply[i]), Number(reply[i + 1]));
    } catch (error) {
      const failure = new CannotKeep("storage_unavailable", retryAfter.storageAway(), error);
      for (const part of group) part.fail(failure);
      if (error instanceof ReplyError) return;
      // Redis is silent. Those behind would each wait in turn until a call is given up, long after their sender has.
      for (const part of pending.splice(0)) part.fail(failure);
    } finally {
      underWay--;
      flush();
      if (underWay === 0 && pending.length === 0) {
        for (const done of idleWaiters) done();
        idleWaiters = [];
      }
    }
  }

  function answer(part: Part, verdict: readonly unknown[]): void {
    const [stored, ...rest] = verdict.map(Number);
    if (stored === 0) {
      const [bytes = 0, place = 0, shutMs = 0] = rest;
      const [destination, limitBytes] = routes.limits(scope).slice(1 + 2 * place);
      const seen = { destination: String(destination), bytes, limitBytes: Number(limitBytes), shutMs };
      part.fail(new CannotKeep("buffer_full", retryAfter.bufferFull(seen)));
      return;
    }
    const [kept = 0, duplicates = 0, jumps = 0, thinned = 0] = rest;
    if (jumps + thinned === 0) {
      part.settle({ kept, duplicates, rejections: NO_REJECTIONS });
      return;
    }
    const rejections = new Map<RejectionReason, number>();
    if (jumps > 0) rejections.set("implausible_jump", jumps);
    if (thinned > 0) rejections.set("thinned", thinned);
    part.settle({ kept, duplicates, rejections });
  }

  function idle(): Promise<void> {
    if (underWay === 0 && pending.length === 0) return Promise.resolve();
    return new Promise((resolve) => idleWaiters.push(resolve));
  }

  return { add, idle };
}

function merge(verdicts: KeepVerdict[]): KeepVerdict {
  if (verdicts.length === 1 && verdicts[0]) return verdicts[0];
  const rejections = new Map<RejectionReason, number>();
  let kept = 0;
  let duplicates = 0;
  for (const verdict of verdicts) {
    kept += verdict.kept;
    duplicates += verdict.duplicates;
    for (const [reason, n] of verdict.rejections) rejections.set(reason, (rejections.get(reason) ?? 0) + n);
  }
  return { kept, duplicates, rejections };
}

function messageCounters(entry: Exclude<KeepEntry, { kind: "malformed" }>): Args {
  if (entry.kind !== "read") {
    return ["messages", 1, entry.kind === "ignored" ? "ignored" : "handshakes", 1];
  }
  const rejected = entry.candidates - entry.readings.length;
  const counters: Args = ["messages", 1, "read", 1];
  if (rejected > 0) counters.push("candidates", rejected, "rejected", rejected);
  for (const [reason, n] of entry.rejections) counters.push(`rejected:${reason}`, n);
  for (const [defect, n] of entry.defects) counters.push(`defect:${defect}`, n);
  return counters;
}

function countersOnly(source: string, receivedAt: number, counters: Args): Write {
  return { source, receivedAt, bodyPrint: "", counters, readings: [], readingCount: 0 };
}

function appendArgs(args: Args, write: Write): void {
  args.push(write.source, write.receivedAt, write.bodyPrint);
  args.push(write.counters.length / 2, ...write.counters, write.readingCount);
  for (const arg of write.readings) args.push(arg);
}

function readingsArgs(source: KeepSource, routed: readonly RoutedReading[]): Args {
  const args: Args = [];
  for (const { reading, routes } of routed) {
    args.push(reading.deviceId, placeByte(reading), filterText(source, reading), waysText(routes));
    for (const { line, record } of routes) args.push(line, record(reading));
  }
  return args;
}

function filterText({ maxImpliedMps, minIntervalMs }: KeepSource, { latitude, longitude }: Reading): string {
  if (maxImpliedMps === undefined && minIntervalMs === undefined) return "";
  return `${maxImpliedMps ?? ""};${minIntervalMs ?? ""};${radians(latitude)};${radians(longitude)}`;
}

function waysText(routes: readonly Route[]): string {
  const unmapped = routes[0]?.unmapped ?? null;
  return unmapped === null ? String(routes.length) : `${routes.length}${unmapped === "hold" ? "h" : "f"}`;
}

/** One byte of the place to 1e-7 degrees: tells a resent fix from a conflicting one 255 times in 256. */
function placeByte({ latitude, longitude }: Reading): number {
  const mixed =
    Math.imul(Math.round(latitude * 1e7), 0x9e3779b1) ^ Math.imul(Math.round(longitude * 1e7), 0x85ebca6b);
  return (mixed ^ (mixed >>> 8) ^ (mixed >>> 16) ^ (mixed >>> 24)) & 0xff;
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}

function bodyPrint(readings: readonly Reading[], body: Uint8Array): string {
  if (readings.length <= READINGS_WORTH_A_BODY_PRINT) return "";
  const perDevice = new Map<string, number>();
  for (const { deviceId } of readings) {
    const n = (perDevice.get(deviceId) ?? 0) + 1;
    if (n > READINGS_WORTH_A_BODY_PRINT) return createHash("sha256").update(body).digest("base64url");
    perDevice.set(deviceId, n);
  }
  return "";
}
