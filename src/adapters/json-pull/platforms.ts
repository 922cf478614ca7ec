/** Tracking platforms, run by many hosts, that are asked by settings alone. */

import { theThingsStack } from "../the-things-stack.ts";
import { polled } from "./polled.ts";

const MINUTE_MS = 60_000;

/** All errors come with 200 and a number; 1 is a dead session, 8 a wrong token, 0 none. */
const WIALON_ERROR = "error && error != `0`";

export const wialon = polled({
  vendor: "wialon",
  docs: "https://sdk.wialon.com/wiki/en/sidebar/remoteapi/apiref/core/search_items",
  evidence: "source code",
  speedUnit: "kph",
  unit: "kph",
  // A session ends after five minutes without a request.
  minIntervalMs: 10_000,
  pull: {
    baseUrl: "https://hst-api.wialon.com",
    login: {
      path: "/wialon/ajax.html?svc=token/login",
      form: { params: { token: "{secret}" } },
      token: "eid",
      answers: {
        refused: "error == `8` || error == `4` || error == `7`",
        unavailable: WIALON_ERROR,
        code: "error",
      },
    },
    path: "/wialon/ajax.html?svc=core/search_items&sid={token}",
    form: {
      params: {
        spec: { itemsType: "avl_unit", propName: "sys_name", propValueMask: "*", sortType: "sys_name" },
        force: 1,
        flags: 1025,
        from: 0,
        to: 0,
      },
    },
    answers: { expired: "error == `1`", unavailable: WIALON_ERROR, code: "error" },
    loginsPerHour: 20,
    intervalMs: 30_000,
  },
  options: {
    readings: "items",
    deviceId: "id",
    ignoreReading: "pos == `null`",
    latitude: "pos.y",
    longitude: "pos.x",
    time: "pos.t",
    timeFormat: "epochSeconds",
    speed: "pos.s",
    heading: "pos.c",
    details: { deviceName: "nm", altitudeM: "pos.z" },
  },
});

export const webfleet = polled({
  vendor: "webfleet",
  docs: "https://www.webfleet.com/static/help/webfleet-connect/en_gb/index.html",
  evidence: "seen in code",
  speedUnit: "kph",
  unit: "kph",
  unknown: "the names of speed and course in this report; its queue is not read",
  hosts: /^csv\.webfleet\.com$/,
  // Six a minute.
  minIntervalMs: 10_000,
  requires: [
    [["query", "account"], "the name of the account"],
    [["query", "apikey"], "the key of the API, beside user name and password"],
  ],
  pull: {
    baseUrl: "https://csv.webfleet.com",
    path: "/extern",
    query: {
      action: "showObjectReportExtern",
      outputformat: "json",
      lang: "en",
      useISO8601: true,
    },
    basic: true,
    // Errors are texts that begin with a number, with 200.
    answers: {
      throttled: ["starts_with(@, '8011')", "errorCode == `8011` || errorCode == '8011'"],
      empty: ["@ == ''", "starts_with(@, '63')", "contains(@, 'document is empty')"],
      refused: ["type(@) == 'string'", "errorCode"],
      code: "errorCode",
    },
    minGapMs: 10_000,
    intervalMs: 30_000,
  },
  options: {
    deviceId: "objectuid",
    ignoreReading: "latitude_mdeg == `null` && longitude_mdeg == `null`",
    latitude: "latitude_mdeg",
    longitude: "longitude_mdeg",
    // Millionths of a degree, whatever their name says.
    scale: 1e-6,
    time: "pos_time",
    speed: "speed",
    heading: "course",
    details: { deviceName: "objectname", ignition: "ignition", street: "postext" },
  },
});

export const navixy = polled({
  vendor: "navixy",
  docs: "https://www.navixy.com/docs/navixy-api/user-api/backend-api/resources/tracking/tracker/",
  evidence: "documented",
  speedUnit: "kph",
  unit: "kph",
  // 50 a second are allowed; a state is no fresher than the tracker's own interval.
  minIntervalMs: 5000,
  pull: {
    baseUrl: "https://api.us.navixy.com",
    lookup: {
      path: "/v2/tracker/list",
      json: { hash: "{secret}" },
      at: "list",
      id: "id",
      chunk: 2000,
    },
    path: "/v2/tracker/get_states",
    // Without the two flags one dead tracker fails the whole call.
    json: { hash: "{secret}", trackers: "{ids}", list_blocked: true, allow_not_exist: true },
    answers: {
      expired: "status.code == `3` || status.code == `4`",
      throttled: "status.code == `15`",
      unavailable: "status.code == `8` || status.code == `14`",
      refused: "success == `false`",
      code: "status.code",
    },
    intervalMs: 30_000,
  },
  options: {
    readings: "states",
    deviceId: { key: true },
    ignoreReading: "contains(keys(gps), 'updated') && gps.updated == `null`",
    latitude: "gps.location.lat",
    longitude: "gps.location.lng",
    time: "gps.updated",
    // Of the user, told by the clock in the answer.
    timeZone: { at: "user_time" },
    speed: "gps.speed",
    heading: "gps.heading",
    // The place of a cell.
    noFixWhen: "gps.gsm_lbs",
    details: { altitudeM: "gps.alt", accuracyM: "gps.precision" },
  },
});

export const traccarRest = polled({
  vendor: "traccar-rest",
  docs: "https://www.traccar.org/api-reference/",
  evidence: "documented",
  speedUnit: "knots",
  unit: "knots",
  minIntervalMs: 5000,
  requires: [[["baseUrl"], "the server's address"]],
  pull: {
    lookup: { path: "/api/devices", bearer: "{secret}", at: "@", id: "id", device: "uniqueId" },
    path: "/api/positions",
    bearer: "{secret}",
    intervalMs: 15_000,
  },
  options: {
    deviceId: { lookup: "deviceId" },
    latitude: "latitude",
    longitude: "longitude",
    time: "fixTime",
    speed: "speed",
    heading: "course",
    // A position that repeats the last valid one, and one that the receiver itself doubts.
    noFixWhen: "outdated || valid == `false`",
    details: { altitudeM: "altitude", ignition: "attributes.ignition" },
  },
});

export const ttsStorage = polled({
  vendor: "tts-storage",
  docs: "https://www.thethingsindustries.com/docs/integrations/storage/",
  evidence: "documented",
  speedUnit: "optional",
  unknown: "whether each line always holds one message",
  minIntervalMs: 10_000,
  pull: {
    baseUrl: "https://nam1.cloud.thethings.network",
    // The user name is the application.
    path: "/api/v3/as/applications/{username}/packages/storage/uplink_message",
    query: { after: "{since}", order: "received_at", limit: 100 },
    headers: { Accept: "text/event-stream" },
    bearer: "{secret}",
    format: "lines",
    feed: { newest: "received_at", size: 100 },
    intervalMs: MINUTE_MS,
  },
  rows: { in: "result", adapter: theThingsStack },
});

export const gpswox = polled({
  vendor: "gpswox",
  docs: "https://gpswox.stoplight.io/docs/tracking-software/",
  evidence: "seen in code",
  speedUnit: "required",
  unknown: "the unit of speed and the zone of times, which the account's settings decide",
  minIntervalMs: 10_000,
  requires: [[["baseUrl"], "the address of the reseller's server"]],
  pull: {
    path: "/api/get_devices",
    query: { user_api_hash: "{secret}" },
    intervalMs: MINUTE_MS,
  },
  options: {
    // A projection would leave out in silence what is no group.
    readings: "map(&items, @)",
    deviceId: "id",
    ignoreReading: "lat == `null` && lng == `null`",
    latitude: "lat",
    longitude: "lng",
    // Text in the zone of the account: options.timeZone names it.
    time: "timestamp || time",
    timeFormat: "any",
    speed: "speed",
    heading: "course",
    details: { deviceName: "name" },
  },
});
