/** Stand-ins for vendors that tell where vehicles are now: their fleets move, their sessions end, and they refuse as they document. */

import type { PullAccount } from "../../src/adapters/kit/pull.ts";
import type { VendorAnswer, VendorRequest } from "./polled-vendor.ts";

export interface SnapshotVendor {
  vendor: string;
  account: PullAccount;
  options?: unknown;
  answer(asked: VendorRequest): VendorAnswer;
  /** Every vehicle is elsewhere, a second later. */
  move(): void;
  endSessions(): void;
  /** How many sessions it has given. */
  logins(): number;
  /** What it says to too many requests. */
  tooOften: VendorAnswer;
  /** Requests for the positions of so many vehicles. */
  round(size: number): number;
}

/** Devices are named in the order in which they are asked for. */
export const FLEET = (size: number) => Array.from({ length: size }, (_, index) => `V${1000 + index}`);

export type StandIn = (size: number) => SnapshotVendor;

/** What all of them need: a clock of positions, and sessions. */
function world() {
  let logins = 0;
  let isLive = false;
  let second = 0;
  const startMs = Date.now() - 3_600_000;
  return {
    time: () => new Date(startMs + second * 1000).toISOString(),
    latitude: () => 40 + second / 1000,
    move: () => void second++,
    endSessions() {
      isLive = false;
    },
    logins: () => logins,
    login() {
      logins += 1;
      isLive = true;
      return `a-token-${logins}`;
    },
    isOf: (given: string) => isLive && given.endsWith(`a-token-${logins}`),
  };
}

const UNAUTHORIZED = { status: 401, body: { message: "Unauthorized" } };

export const reveal: StandIn = (size) => {
  const { login, isOf, time, latitude, ...rest } = world();
  return {
    ...rest,
    vendor: "verizon-reveal",
    account: { username: "rest@acme.example", secret: "reveal-password" },
    options: { appId: "fleetmatics-p-us-own" },
    tooOften: { status: 429, body: "", headers: { "Retry-After": "0.05" } },
    round: (vehicles) => Math.ceil(vehicles / 100),
    answer({ path, headers, body }) {
      if (path === "/token") return { status: 200, body: login() };
      if (!isOf(String(headers.authorization))) return UNAUTHORIZED;
      if (path === "/cmd/v1/vehicles")
        return { status: 200, body: FLEET(size).map((number) => ({ VehicleNumber: number, Name: number })) };
      const numbers: string[] = JSON.parse(body);
      if (numbers.length > 100) return { status: 400, body: "too many" };
      const value = { Latitude: latitude(), Longitude: -83, Speed: 0, UpdateUTC: time().slice(0, 19) };
      const row = (number: string) => ({
        ...{ VehicleNumber: number, StatusCode: 200 },
        ContentResource: { Value: value },
      });
      return { status: 200, body: numbers.map(row) };
    },
  };
};

export const fordPro: StandIn = (size) => {
  const { login, isOf, time, latitude, ...rest } = world();
  return {
    ...rest,
    vendor: "ford-pro",
    account: { username: "client", secret: "ford-secret" },
    tooOften: { status: 429, body: "", headers: { "Retry-After": "0.05" } },
    round: (vehicles) => vehicles,
    answer({ path, headers }) {
      const { pathname, searchParams } = new URL(path, "http://vendor");
      if (pathname.endsWith("/token"))
        return { status: 200, body: { access_token: login(), expires_in: String(Date.now() + 300_000) } };
      if (!isOf(String(headers.authorization))) return UNAUTHORIZED;
      if (pathname.endsWith("/vehicles")) {
        const from = Number(searchParams.get("page") ?? 0);
        const vehicles = FLEET(size).slice(from, from + 40);
        const next = from + 40 < size ? String(from + 40) : null;
        return { status: 200, body: { next_page: next, vehicles: vehicles.map((vin) => ({ vin })) } };
      }
      const value = { latitude: latitude(), longitude: -83 };
      const vin = pathname.split("/").at(-2);
      return { status: 200, body: { vin, signals: [{ position: { timestamp: time(), value } }] } };
    },
  };
};

export const tracksolid: StandIn = (size) => {
  const { login, isOf, time, latitude, ...rest } = world();
  return {
    ...rest,
    vendor: "tracksolid",
    account: { username: "acme", secret: "account-password" },
    options: { appKey: "an-app", appSecret: "app-secret" },
    tooOften: { status: 200, body: { code: 1006, message: "limited" } },
    round: () => 1,
    answer({ body }) {
      const form = new URLSearchParams(body);
      if (form.get("method") === "jimi.oauth.token.get")
        return { status: 200, body: { code: 0, result: { accessToken: login(), expiresIn: "7200" } } };
      if (!isOf(form.get("access_token") ?? ""))
        return { status: 200, body: { code: 1004, message: "ended" } };
      const gpsTime = time().slice(0, 19).replace("T", " ");
      const row = (imei: string) => ({
        imei,
        gpsTime,
        lat: latitude(),
        lng: -83,
        posType: "GPS",
        speed: "0",
      });
      return { status: 200, body: { code: 0, message: "success", result: FLEET(size).map(row) } };
    },
  };
};
