/** Whole conversations with vendors that are asked, held by the real poller as they were written down; not in this repository. */

import { existsSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { findAdapter } from "../../../src/adapters/index.ts";
import type { PullAccount } from "../../../src/adapters/kit/pull.ts";
import type { SpeedUnit } from "../../../src/reading.ts";
import { because, howToGet } from "../../support/because.ts";
import {
  conversationsIn,
  type Exchange,
  expectReadings,
  recordedAnswers,
} from "../../support/conversations.ts";
import { type PolledVendor, startPolledVendor } from "../../support/polled-vendor.ts";
import { distinctReadings, pullOf, startPollings, viaHosts } from "../../support/polling.ts";
import { until } from "../../support/wait.ts";

const SAMPLES = new URL("../../../../shared/samples-2/pull/", import.meta.url);
const noSamples = existsSync(SAMPLES) ? null : howToGet("samples-2");

/** How a source of ours holds a vendor's conversations. */
interface Replay {
  account: PullAccount;
  options?: unknown;
  speedUnit?: SpeedUnit;
  /** The adapter, where it is not named as the folder is. */
  vendor?: string;
  /** What the source says under `pull`, for a vendor that is asked by settings. */
  pull?: Record<string, unknown>;
  /** Parameters of queries and forms that are ours to choose, or depend on the clock. */
  free?: readonly string[];
  /** How a new process gets to where the conversation begins. */
  before?: readonly Exchange[];
}

const LOGIN = { username: "test-user", secret: "test-secret" };
const KEY = { secret: "test-secret" };

/** By folder, or by `folder/case` where one case needs other settings: a vendor is added by its entry. */
const REPLAYS: Record<string, Replay> = {
  azuga: { vendor: "azuga-live", account: KEY },
  "ford-pro": { account: { username: "test-client", secret: "test-secret" }, free: ["page-size"] },
  "gps-insight": { vendor: "gps-insight-locations", account: LOGIN },
  "gps-insight/blank-values": {
    vendor: "gps-insight-locations",
    account: LOGIN,
    before: [
      answered("https://api.gpsinsight.com/v2/userauth/login?username=test-user&app_token=test-secret", {
        head: { status: "OK" },
        data: { token: "sample-session-1" },
      }),
    ],
  },
  "linxup/locations": {
    vendor: "linxup-locations",
    account: KEY,
    pull: { baseUrl: "https://app02.linxup.com" },
  },
  "linxup/fleetsharp-host": {
    vendor: "linxup-locations",
    account: KEY,
    pull: { baseUrl: "https://app02.fleetsharp.com" },
  },
  motive: {
    vendor: "motive-locations",
    account: KEY,
    pull: { query: { per_page: 2 }, page: { by: "number", size: 2, total: "pagination.total" } },
  },
  // The clock of the recording cannot be compared with ours.
  navixy: { account: KEY, options: { timeZone: "UTC" } },
  onestepgps: { vendor: "onestepgps-devices", account: KEY },
  "spireon/assets-two-pages": {
    account: LOGIN,
    pull: {
      headers: { "X-Nspire-AppToken": "test-app-token" },
      query: { limit: 2 },
      page: { by: "offset", size: 2, total: "total" },
    },
  },
  tracksolid: {
    account: { username: "acme", secret: "test-password" },
    options: { appKey: "test-app", appSecret: "test-secret" },
    free: ["timestamp", "sign"],
  },
  "traccar-rest": { account: KEY, pull: { baseUrl: "https://traccar.example" } },
  "verizon-reveal": { account: LOGIN, options: { appId: "fleetmatics-p-us-testApp0001" } },
  webfleet: { account: LOGIN, pull: { query: { account: "acme", apikey: "test-key" } } },
  wialon: { account: KEY },
};

/** Asks for the past of one vehicle, which no adapter does. */
const NOT_HELD = ["spireon/events-window"];

function answered(url: string, body: object): Exchange {
  return {
    request: { method: "GET", url, headers: {} },
    response: { status: 200, headers: {}, body },
    kind: "before",
  };
}

const folders = [...new Set(Object.keys(REPLAYS).map((key) => key.split("/")[0] ?? ""))];
const conversations =
  noSamples === null
    ? folders
        .flatMap((folder) => conversationsIn(SAMPLES, folder))
        .filter(({ name }) => !NOT_HELD.includes(name))
    : [];

describe.skipIf(noSamples !== null)(`conversations${because(noSamples)}`, () => {
  let pollings: Awaited<ReturnType<typeof startPollings>>;
  const vendors: PolledVendor[] = [];

  beforeAll(async () => {
    pollings = await startPollings();
  });
  afterEach(async () => {
    await pollings.endAll();
    for (const vendor of vendors.splice(0)) await vendor.close();
  });
  afterAll(() => pollings.close());

  it("are there for each vendor", () => {
    expect(new Set(conversations.map(({ vendor }) => vendor))).toEqual(new Set(folders));
  });

  it.each(conversations.map((conversation) => [conversation.name, conversation] as const))(
    "%s is held as recorded, and gives the readings expected",
    async (name, { vendor, exchanges, expected }) => {
      const replay = REPLAYS[name] ?? REPLAYS[vendor];
      if (!replay) throw new Error(`Add ${vendor} to the table.`);
      const adapter = findAdapter(replay.vendor ?? vendor);
      const pull = pullOf(replay.vendor ?? vendor, replay.pull);
      const script = [...(replay.before ?? []), ...exchanges];
      const recorded = recordedAnswers(script, replay.free);
      const standIn = await startPolledVendor(recorded.answer);
      vendors.push(standIn);
      const origins = script.map(({ request }) => new URL(request.url));
      const http = viaHosts(Object.fromEntries(origins.map(({ origin }) => [origin, standIn.url])));
      const { store } = pollings.start({
        vendor: replay.vendor ?? vendor,
        baseUrl: pull.baseUrl,
        account: replay.account,
        pullSettings: replay.pull,
        // What was recorded is as old as the recording.
        lookBackMs: 10 * 365 * 86_400_000,
        http,
        source: {
          options: adapter?.options?.parse(replay.options),
          ...(replay.speedUnit ? { speedUnit: replay.speedUnit } : {}),
        },
      });
      await until(() => recorded.asked() > script.length, { what: `the end of ${name}` });
      expect(recorded.surprises).toEqual([]);
      expect(http.hosts.slice(0, script.length)).toEqual(origins.map(({ host }) => host));
      expectReadings(distinctReadings(store), expected);
      // Where nothing has moved, nothing is sent again.
      await until(() => recorded.asked() > script.length + 3, { what: "another round" });
      expect(store.stored().length).toBe(expected.length);
    },
  );

  it("are signed for Tracksolid as another program signs them", () => {
    const [tracksolid] = conversations.filter(({ vendor }) => vendor === "tracksolid");
    const pull = pullOf("tracksolid");
    const now = Date.UTC(2026, 10, 18, 14, 2, 30);
    const { account, options } = REPLAYS.tracksolid ?? { account: { secret: "" } };
    const signs = [null, { token: "sample-access", renewAt: now + 1, sent: new Map() }].map((session) => {
      const context = { baseUrl: "https://us-open.tracksolidpro.com", cursor: null, since: 0, now, kept: {} };
      const request = pull.request({ ...context, account, options, session });
      return new URLSearchParams(request.body).get("sign");
    });
    expect(signs).toEqual(
      tracksolid?.exchanges.map(({ request }) => new URLSearchParams(String(request.body)).get("sign")),
    );
  });
});
