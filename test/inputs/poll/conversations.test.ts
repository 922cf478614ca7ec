/** Whole conversations with vendors that are asked, held by the real poller as they were written down; not in this repository. */

import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
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
import { startPolledVendor } from "../../support/polled-vendor.ts";
import { distinctReadings, pullOf, usePollings, viaHosts } from "../../support/polling.ts";
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
  /** The source's `pull`, of a vendor that is asked by settings. */
  pull?: object;
  /** Exchanges at the beginning that we never need. */
  skip?: number;
  /** What came before the recording began: a login, a look-up. */
  before?: readonly Exchange[];
  /** Parameters of queries and forms that are ours to choose, or depend on the clock. */
  free?: readonly string[];
}

/** By folder, or by `folder/case` where one case needs other settings: a vendor is added by its entry. */
const REPLAYS: Record<string, Replay> = {
  azuga: { vendor: "azuga-live", account: { secret: "test-secret" } },
  bouncie: {
    vendor: "bouncie-vehicles",
    account: { username: "test-client", secret: "test-secret" },
    pull: { login: { keep: { refresh: { first: "sample-refresh-1" } } } },
    // A token that has ended before we begin; we have none then.
    skip: 1,
  },
  "ford-pro": { account: { username: "test-client", secret: "test-secret" }, free: ["page-size"] },
  "gps-insight": {
    vendor: "gps-insight-locations",
    account: { username: "test-user", secret: "test-secret" },
  },
  "gps-insight/blank-values": {
    vendor: "gps-insight-locations",
    account: { username: "test-user", secret: "test-secret" },
    before: [
      before("https://api.gpsinsight.com/v2/userauth/login?username=test-user&app_token=test-secret", {
        data: { token: "sample-session-1" },
      }),
    ],
  },
  linxup: {
    vendor: "linxup-locations",
    account: { secret: "test-secret" },
    pull: { baseUrl: "https://app02.linxup.com" },
  },
  "linxup/fleetsharp-host": {
    vendor: "linxup-locations",
    account: { secret: "test-secret" },
    pull: { baseUrl: "https://app02.fleetsharp.com" },
  },
  motive: {
    vendor: "motive-locations",
    account: { secret: "test-secret" },
    pull: { query: { per_page: 2 }, page: { size: 2 } },
  },
  navixy: { account: { secret: "test-secret" } },
  onestepgps: { vendor: "onestepgps-devices", account: { secret: "test-secret" } },
  spireon: {
    account: { username: "test-user", secret: "test-secret" },
    pull: {
      headers: { "X-Nspire-AppToken": "test-app-token" },
      query: { limit: 2 },
      page: { size: 2 },
    },
  },
  "spireon/events-window": {
    vendor: "json-pull",
    account: { username: "test-user", secret: "test-secret" },
    speedUnit: "mph",
    free: ["startDate", "endDate"],
    before: [before("https://services.spireon.com/v0/rest/assets", { content: [{ id: "s-1" }] })],
    pull: {
      baseUrl: "https://services.spireon.com",
      lookup: { path: "/v0/rest/assets", at: "content[].id", chunk: 1 },
      path: "/v0/rest/assets/{id}/events",
      query: { startDate: "{since}", endDate: "{until}", limit: 100, offset: "{offset}" },
      headers: { "X-Nspire-AppToken": "test-app-token" },
      basic: true,
      page: { by: "offset", size: 100, total: "total" },
      window: { widestMs: 31 * 86_400_000 },
    },
    options: {
      readings: "content",
      deviceId: { asked: true },
      ignoreReading: "location == `null`",
      latitude: "location.lat",
      longitude: "location.lng",
      time: "date",
      speed: "speed",
      heading: "heading",
    },
  },
  "traccar-rest": {
    account: { secret: "test-secret" },
    pull: { baseUrl: "https://traccar.example" },
  },
  "tts-storage": { account: { username: "fleet", secret: "test-secret" }, free: ["after"] },
  webfleet: {
    account: { username: "test-user", secret: "test-secret" },
    pull: { query: { account: "acme", apikey: "test-key" } },
  },
  wialon: { account: { secret: "test-secret" } },
  tracksolid: {
    account: { username: "acme", secret: "test-password" },
    options: { appKey: "test-app", appSecret: "test-secret" },
    free: ["timestamp", "sign"],
  },
  "verizon-reveal": {
    account: { username: "test-user", secret: "test-secret" },
    options: { appId: "fleetmatics-p-us-testApp0001" },
  },
};

function before(url: string, body: object): Exchange {
  return {
    request: { method: "GET", url, headers: {} },
    response: { status: 200, headers: {}, body },
    kind: "before",
  };
}

const folders = [...new Set(Object.keys(REPLAYS).map((key) => key.split("/")[0] ?? ""))];
const conversations = noSamples === null ? folders.flatMap((folder) => conversationsIn(SAMPLES, folder)) : [];

describe.skipIf(noSamples !== null)(`conversations${because(noSamples)}`, () => {
  const pollings = usePollings();

  it("are there for each vendor", () => {
    expect(new Set(conversations.map(({ vendor }) => vendor))).toEqual(new Set(folders));
  });

  it.each(conversations.map((conversation) => [conversation.name, conversation] as const))(
    "%s is held as recorded, and gives the readings expected",
    async (name, { vendor, exchanges: recordedExchanges, expected }) => {
      const replay = REPLAYS[name] ?? REPLAYS[vendor];
      const adapter = findAdapter(replay?.vendor ?? vendor);
      if (!replay || !adapter) throw new Error(`${vendor} is not asked`);
      const exchanges = [...(replay.before ?? []), ...recordedExchanges.slice(replay.skip ?? 0)];
      const recorded = recordedAnswers(exchanges, replay.free);
      const standIn = await startPolledVendor(recorded.answer);
      pollings.closing(standIn);
      const origins = exchanges.map(({ request }) => new URL(request.url));
      const http = viaHosts(Object.fromEntries(origins.map(({ origin }) => [origin, standIn.url])));
      const { store } = pollings.start({
        vendor: adapter.vendor,
        baseUrl: pullOf(adapter.vendor, replay.pull).baseUrl,
        pullSettings: replay.pull,
        account: replay.account,
        // What was recorded is as old as the recording.
        lookBackMs: 10 * 365 * 86_400_000,
        http,
        source: {
          options: adapter.options?.parse(replay.options),
          ...(replay.speedUnit ? { speedUnit: replay.speedUnit } : {}),
        },
      });
      await until(() => recorded.asked() > exchanges.length, { what: `the end of ${name}` });
      expect(recorded.surprises).toEqual([]);
      expect(http.hosts.slice(0, exchanges.length)).toEqual(origins.map(({ host }) => host));
      expectReadings(distinctReadings(store), expected);
      // Where nothing has moved, nothing is sent again.
      await until(() => recorded.asked() > exchanges.length + 3, { what: "another round" });
      expect(store.stored().length).toBe(expected.length);
    },
  );

  it("are signed for Tracksolid as another program signs them", () => {
    const [tracksolid] = conversations.filter(({ vendor }) => vendor === "tracksolid");
    const now = Date.UTC(2026, 10, 18, 14, 2, 30);
    const signs = [null, { token: "sample-access", renewAt: now + 1, sent: new Map() }].map((session) => {
      const { account, options } = REPLAYS.tracksolid ?? { account: { secret: "" } };
      const context = { baseUrl: "https://us-open.tracksolidpro.com", cursor: null, since: 0, now };
      const request = pullOf("tracksolid").request({ ...context, account, options, session, kept: {} });
      return new URLSearchParams(request?.body).get("sign");
    });
    expect(signs).toEqual(
      tracksolid?.exchanges.map(({ request }) => new URLSearchParams(String(request.body)).get("sign")),
    );
  });
});
