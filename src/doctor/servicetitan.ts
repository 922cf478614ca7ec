/** Whether ServiceTitan takes what a destination would send: its hosts, the token, an authorised request without pings. */

import { setTimeout as pause } from "node:timers/promises";
import type { QueueDestination } from "../queue/redis/destination.ts";
import type { RedisProbe } from "../queue/redis/probe.ts";
import { parseJson, redactor } from "../servicetitan/answer.ts";
import { type Claims, claimsOf } from "../servicetitan/claims.ts";
import { addressFrom, headersOf } from "../servicetitan/client.ts";
import type { Answer, Exchanged, Http } from "../servicetitan/exchange.ts";
import { classify } from "../servicetitan/outcome.ts";
import { externalIdOf, toPing } from "../servicetitan/ping.ts";
import { tokenRefusalOf, tokenRequestOf } from "../servicetitan/token.ts";
import { isRecord } from "../untrusted.ts";
import { type Checked, notAsked, notWell, type Surroundings, type Task, well } from "./check.ts";
import { type Finding, finding } from "./findings.ts";
import { askHost, failureOf, type Host } from "./hosts.ts";
import { explain } from "./refusals.ts";

/** The one position that is sent, and only because somebody asked for it. */
export interface TestPing {
  unit: string;
  latitude: number;
  longitude: number;
}

interface Asked {
  surroundings: Surroundings;
  http: Http;
  redis: () => Promise<RedisProbe>;
  /** One question for each host, however many destinations are there. */
  host: (url: string) => Promise<Host>;
  testPing: TestPing | null;
}

export function servicetitanTasks(
  surroundings: Surroundings,
  destinations: readonly QueueDestination[],
  { http, redis, testPing }: Pick<Asked, "http" | "redis" | "testPing">,
): Task[] {
  const hosts = new Map<string, Promise<Host>>();
  const host = (url: string) => {
    const { origin } = new URL(url);
    const known = hosts.get(origin) ?? askHost(origin, http, surroundings);
    hosts.set(origin, known);
    return known;
  };
  const asked = { surroundings, http, redis, host, testPing };
  const origins = new Set(
    destinations.flatMap(({ target }) => [target.apiUrl, target.authUrl].map((url) => new URL(url).origin)),
  );
  const area = "servicetitan";
  return [
    ...[...origins].map(
      (origin): Task => ({
        ...{ area, of: new URL(origin).host, check: "reachable" },
        run: async () => (await host(origin)).checks,
      }),
    ),
    ...destinations.map(
      (destination): Task => ({
        ...{ area, of: destination.name, check: "token" },
        async run() {
          const checks = await destinationChecks(destination, asked);
          if (testPing === null || checks.some(({ check }) => check === "test ping")) return checks;
          return [...checks, notAsked("test ping", "not sent: ServiceTitan does not take requests")];
        },
      }),
    ),
  ];
}

async function destinationChecks(destination: QueueDestination, asked: Asked): Promise<Checked[]> {
  const { target } = destination;
  const rest = (why: string) => ["call", "rate"].map((check) => notAsked(check, why));
  const { isReached } = await asked.host(target.authUrl);
  if (!isReached) {
    const why = `${new URL(target.authUrl).host} is not reached`;
    return [notAsked("token", why), ...rest("there is no token")];
  }
  const token = await askToken(destination, asked);
  if (token.kind === "none") return [notWell("token", token.finding), ...rest("there is no token")];
  const given = well("token", scopesInWords(token.claims));
  const api = await asked.host(target.apiUrl);
  if (!api.isReached) return [given, ...rest(`${new URL(target.apiUrl).host} is not reached`)];
  const called = await call(destination, token, asked);
  return [given, ...called];
}

function scopesInWords({ scopes }: Claims): string {
  return scopes === null ? "given" : `given, with ${scopes.length === 0 ? "no scope" : scopes.join(", ")}`;
}

interface Token {
  kind: "token";
  value: string;
  claims: Claims;
}

async function askToken(
  { name, target }: QueueDestination,
  { surroundings, http }: Asked,
): Promise<Token | { kind: "none"; finding: Finding }> {
  const { stepMs, proxy, otherAuthUrl, config } = surroundings;
  const exchanged = await http.exchange({ ...tokenRequestOf(target), timeoutMs: stepMs });
  if (exchanged.kind === "failed") {
    const failure = failureOf(exchanged, target.authUrl, proxy);
    return { kind: "none", finding: failure ?? finding("token_unavailable", { words: exchanged.code }) };
  }
  const token = tokenIn(exchanged.answer);
  if (token !== null) return token;
  const { status } = exchanged.answer;
  if (status >= 200 && status <= 299)
    return {
      kind: "none",
      finding: finding("token_unavailable", { words: `HTTP ${status} without a token` }),
    };
  const { words, passes } = tokenRefusalOf(exchanged.answer);
  if (passes) return { kind: "none", finding: finding("token_unavailable", { words }) };
  const malformed = malformedIn(target);
  if (malformed !== null) return { kind: "none", finding: malformed };
  const environment = config.destinations[name]?.environment ?? "custom";
  const other = otherAuthUrl(environment);
  if (other !== null && (await isAccepted({ ...target, authUrl: other.authUrl }, http, stepMs))) {
    const facts = { environment, other: other.environment, words };
    return { kind: "none", finding: finding("wrong_environment", facts) };
  }
  return { kind: "none", finding: finding("credentials_refused", { words }) };
}

function tokenIn({ status, body }: Answer): Token | null {
  const json = status >= 200 && status <= 299 && body !== null ? parseJson(body) : null;
  if (!isRecord(json)) return null;
  const { access_token: value } = json;
  if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) return null;
  return { kind: "token", value, claims: claimsOf(value, json) };
}

/** `check` refuses white space around a secret; these pass it, and are as often pasted along. */
function malformedIn({ clientId, clientSecret }: QueueDestination["target"]): Finding | null {
  for (const [setting, value] of Object.entries({ clientId, clientSecret })) {
    const what = /\s/.test(value)
      ? "white space"
      : /[\p{Cc}\p{Cf}]/u.test(value)
        ? "an invisible character"
        : /^["'].*["']$/.test(value)
          ? "quotes around it"
          : null;
    if (what !== null) return finding("secret_malformed", { setting, what });
  }
  return null;
}

/** Credentials go to the other environment only over TLS, to ServiceTitan's own host, and only when they were refused. */
async function isAccepted(
  target: QueueDestination["target"],
  http: Http,
  timeoutMs: number,
): Promise<boolean> {
  const exchanged = await http.exchange({ ...tokenRequestOf(target), timeoutMs });
  return exchanged.kind === "answered" && tokenIn(exchanged.answer) !== null;
}

/** A request with an empty array: it has everything that a batch has, but for pings. */
async function call(destination: QueueDestination, token: Token, asked: Asked): Promise<Checked[]> {
  const { target, ratePerSecond: rate } = destination;
  if (!(await waitForSlot(destination, asked))) {
    const why = "the gateway uses the whole rate now; ask again when less is waiting";
    return ["call", "rate"].map((check) => notAsked(check, why));
  }
  const exchanged = await post(destination, token, "[]", asked);
  const failure = failureOf(exchanged, target.apiUrl, asked.surroundings.proxy);
  if (failure !== null || exchanged.kind === "failed") {
    const found = failure ?? finding("call_unavailable", { words: "no answer" });
    return [notWell("call", found), notAsked("rate", "there is no answer")];
  }
  const { outcome, detail } = readAnswer(exchanged.answer, [], destination, token);
  const rateSaid = well("rate", rateInWords(exchanged.answer, rate));
  if (outcome.kind === "throttled") {
    const throttled = notWell("rate", finding("call_throttled", { words: detail, rate }));
    return [notAsked("call", "it was not let through"), throttled];
  }
  if (outcome.kind === "unavailable")
    return [notWell("call", finding("call_unavailable", { words: detail })), rateSaid];
  const { status } = exchanged.answer;
  const isTaken = status >= 200 && status <= 299;
  const refused = isTaken ? null : explain({ status, words: detail }, target, token.claims);
  if (refused !== null) return [notWell("call", refused), rateSaid];
  const accepted = isTaken
    ? `accepted for tenant ${target.tenant} and provider ${target.provider}`
    : `let through for tenant ${target.tenant}; a request without pings is refused (${detail}), and whether it ` +
      `knows provider ${target.provider} only a ping shows (--test-ping)`;
  return [well("call", accepted), rateSaid, ...(await sendTestPing(destination, token, asked))];
}

/** A question of ours is counted among the gateway's requests, so that both together keep the rate. */
async function waitForSlot(destination: QueueDestination, { redis, surroundings }: Asked): Promise<boolean> {
  const probe = await redis();
  const waitMs = await probe.takeSlot(destination, surroundings.stepMs);
  // Where Redis gives none to the gateway either, one request is less than any rate.
  if (waitMs !== "full") await pause(waitMs ?? 0);
  return waitMs !== "full";
}

function post({ target }: QueueDestination, token: Token, body: string, asked: Asked): Promise<Exchanged> {
  const request = { ...addressFrom(target), headers: headersOf(target, token.value), body };
  return asked.http.exchange({ ...request, timeoutMs: asked.surroundings.stepMs });
}

function readAnswer(answer: Answer, ids: readonly string[], { target }: QueueDestination, token: Token) {
  const { clientSecret, clientId, appKey } = target;
  const redact = redactor([token.value, clientSecret, clientId, appKey]);
  return classify(answer, ids, { now: Date.now(), redact });
}

/** ServiceTitan documents 60 requests a second for an app and tenant, and no header that tells a limit. */
function rateInWords({ headers }: Answer, rate: number): string {
  const told = Object.entries(headers)
    .filter(([name]) => /rate-?limit/i.test(name))
    .map(([name, value]) => `${name}: ${String(value)}`);
  const documented =
    rate > 60
      ? `${rate}/s are configured: right only where ServiceTitan has raised its 60/s`
      : `${rate}/s of 60/s`;
  return told.length === 0
    ? `not throttled; ${documented}`
    : `not throttled; ${documented}; ${told.join(", ")}`;
}

async function sendTestPing(destination: QueueDestination, token: Token, asked: Asked): Promise<Checked[]> {
  if (asked.testPing === null) return [];
  const { unit, latitude, longitude } = asked.testPing;
  if (!(await waitForSlot(destination, asked)))
    return [notAsked("test ping", "the gateway uses the whole rate now")];
  const at = asked.surroundings.now();
  const reading = {
    deviceId: unit,
    fixTime: at,
    receivedAt: at,
    latitude,
    longitude,
    speedMps: null,
    headingDeg: null,
  };
  const named = { unitId: unit, unitName: unit, technician: null };
  const { speedUnit, isNew } = destination;
  const ping = toPing(reading, TEST_SOURCE, named, { speedUnit, isNew: isNew === "always" });
  const exchanged = await post(destination, token, `[${ping}]`, asked);
  const refused = (words: string) => [notWell("test ping", finding("test_ping_refused", { unit, words }))];
  if (exchanged.kind === "failed") return refused(`no answer, ${exchanged.code}`);
  const externalId = externalIdOf(TEST_SOURCE, unit, at);
  const { outcome, detail } = readAnswer(exchanged.answer, [externalId], destination, token);
  switch (outcome.kind) {
    case "delivered":
      return [well("test ping", `accepted for ${unit}, as ${externalId}`)];
    case "partial":
      return refused(outcome.failed[0]?.message || detail);
    default:
      return refused(detail);
  }
}

/** In the externalId, where a source's name stands. */
const TEST_SOURCE = "doctor";
