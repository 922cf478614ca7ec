/** Fleet vendors that are asked by settings alone: what is known of each, and what the customer has to say. */

import { polled } from "./polled.ts";

const MINUTE_MS = 60_000;

export const motiveLocations = polled({
  vendor: "motive-locations",
  docs: "https://developer-docs.gomotive.com/reference/fetch-the-vehicle-locations-v3",
  evidence: "seen in code",
  speedUnit: "kph",
  unit: "kph",
  unknown: "the limit of requests",
  hosts: /^api\.gomotive\.com$/,
  minIntervalMs: 10_000,
  pull: {
    baseUrl: "https://api.gomotive.com",
    path: "/v3/vehicle_locations",
    query: { per_page: 100, page_no: "{page}" },
    headers: { "X-Api-Key": "{secret}" },
    page: { by: "number", size: 100, total: "pagination.total" },
    intervalMs: 30_000,
  },
  options: {
    readings: "vehicles",
    deviceId: "vehicle.id",
    ignoreReading: "vehicle && vehicle.current_location == `null`",
    latitude: "vehicle.current_location.lat",
    longitude: "vehicle.current_location.lon",
    time: "vehicle.current_location.located_at",
    speed: "vehicle.current_location.kph",
    heading: "vehicle.current_location.bearing",
    details: {
      deviceName: "vehicle.number",
      city: "vehicle.current_location.city",
      region: "vehicle.current_location.state",
    },
  },
});

export const linxupLocations = polled({
  vendor: "linxup-locations",
  docs: "https://www.linxup.com/api-documentation",
  evidence: "seen in code",
  speedUnit: "optional",
  unit: "mph",
  unknown: "the unit of speed (mph as in the push), and how often it may be asked",
  hosts: /^(www|app\d{2})\.(linxup|fleetsharp)\.com$/,
  minIntervalMs: 10_000,
  requires: [
    [
      ["baseUrl"],
      "the host of the account, such as https://app02.linxup.com or https://app02.fleetsharp.com",
    ],
  ],
  pull: { path: "/ibis/rest/api/v2/locations", bearer: "{secret}", intervalMs: MINUTE_MS },
  options: {
    readings: "data.locations",
    deviceId: "imei",
    ignoreReading: "latitude == `null` && longitude == `null`",
    latitude: "latitude",
    longitude: "longitude",
    time: "date",
    timeFormat: "epochMillis",
    speed: "speed",
    heading: "heading",
    details: { deviceName: "personName" },
  },
});

/** The newest point may lack a place; then the newest accurate one has it, with its own time. */
const POINT = "(latest_device_point.lat && latest_device_point || latest_accurate_device_point)";

export const onestepgpsDevices = polled({
  vendor: "onestepgps-devices",
  docs: "https://track.onestepgps.com/v3/api/public/docs",
  evidence: "seen in code",
  speedUnit: "named",
  unknown: "the limit of requests, and the zone of times written without one",
  hosts: /^track\.onestepgps\.com$/,
  minIntervalMs: 10_000,
  pull: {
    baseUrl: "https://track.onestepgps.com",
    path: "/v3/api/public/device?latest_point=true",
    bearer: "{secret}",
    intervalMs: 30_000,
  },
  options: {
    readings: "result_list",
    deviceId: "device_id",
    ignoreReading: `!${POINT}`,
    latitude: `${POINT}.lat`,
    longitude: `${POINT}.lng`,
    time: `${POINT}.dt_tracker`,
    timeFormat: "any",
    speed: `${POINT}.device_point_detail.speed.value`,
    speedUnit: { at: `${POINT}.device_point_detail.speed.unit` },
    heading: `${POINT}.angle`,
    details: { deviceName: "display_name", altitudeM: `${POINT}.altitude` },
  },
});

export const azugaLive = polled({
  vendor: "azuga-live",
  docs: "https://developer.azuga.com/reference/live",
  evidence: "documented",
  speedUnit: "mph",
  unit: "mph",
  unknown: "the name of the page parameter",
  hosts: /^(api|services)\.azuga\.com$/,
  // One request a minute, its pages included.
  minIntervalMs: MINUTE_MS,
  pull: {
    baseUrl: "https://api.azuga.com",
    path: "/azuga-ws/v1/live/location.json",
    query: { page: "{page}" },
    basic: "{secret}",
    page: { by: "number", pages: "totalPages", omitFirst: true },
    intervalMs: MINUTE_MS,
    minGapMs: MINUTE_MS,
  },
  options: {
    readings: "locations",
    deviceId: "vehicleId",
    ignoreReading: "latitude == `null` && (longitude || longitutde) == `null`",
    latitude: "latitude",
    // The reference spells it wrong, and some answers do.
    longitude: "longitude || longitutde",
    time: "date",
    timeFormat: "isoUtc",
    speed: "speed",
    details: { deviceName: "vehicleName", street: "address" },
  },
});

export const bouncieVehicles = polled({
  vendor: "bouncie-vehicles",
  docs: "https://docs.bouncie.dev/",
  evidence: "documented",
  speedUnit: "mph",
  unit: "mph",
  unknown: "whether `lastUpdated` can be later than the fix, and the limit of requests",
  hosts: /^api\.bouncie\.dev$/,
  minIntervalMs: 10_000,
  requires: [
    [
      ["login", "keep", "refresh", "first"],
      "the refresh token that the first authorisation gave; a newer one is kept by itself",
    ],
  ],
  pull: {
    baseUrl: "https://api.bouncie.dev",
    hosts: ["auth.bouncie.com"],
    login: {
      url: "https://auth.bouncie.com/oauth/token",
      json: {
        client_id: "{username}",
        client_secret: "{secret}",
        grant_type: "refresh_token",
        refresh_token: "{kept.refresh}",
      },
      token: "access_token",
      expiresIn: "expires_in",
      keep: { refresh: { at: "refresh_token" } },
    },
    path: "/v1/vehicles",
    // The token alone, without Bearer.
    headers: { Authorization: "{token}" },
    intervalMs: MINUTE_MS,
  },
  options: {
    deviceId: "imei",
    ignoreReading: "contains(keys(stats), 'location') && stats.location == `null`",
    latitude: "stats.location.lat",
    longitude: "stats.location.lon",
    time: "stats.lastUpdated",
    speed: "stats.speed",
    heading: "stats.location.heading",
    details: { deviceName: "nickName", ignition: "stats.isRunning" },
  },
});

export const gpsInsightLocations = polled({
  vendor: "gps-insight-locations",
  docs: "https://github.com/gpsidev/api_v2_documentation",
  evidence: "documented",
  speedUnit: "optional",
  unit: "mph",
  unknown: "the unit of `inst_speed` (mph), and how the end of a session is told",
  hosts: /^api\.gpsinsight\.com$/,
  minIntervalMs: 10_000,
  pull: {
    baseUrl: "https://api.gpsinsight.com",
    login: {
      path: "/v2/userauth/login",
      query: { username: "{username}", app_token: "{secret}" },
      token: "data.token",
      answers: { refused: "head.status == 'ERROR'" },
    },
    path: "/v2/vehicle/location",
    query: { session_token: "{token}" },
    // Errors come with 200; what a dead session looks like is not documented, so any error is met by one new login.
    answers: { expired: "head.status == 'ERROR'" },
    intervalMs: MINUTE_MS,
  },
  options: {
    readings: "data",
    deviceId: "id",
    ignoreReading: "latitude == `null` && longitude == `null`",
    latitude: "latitude",
    longitude: "longitude",
    time: "fix_time_gmt",
    speed: "inst_speed",
    heading: "heading",
    details: { deviceName: "label", ignition: "ignition", street: "address" },
  },
});

export const spireon = polled({
  vendor: "spireon",
  docs: "https://github.com/devinslick/lojack_api",
  evidence: "seen in code",
  speedUnit: "mph",
  unit: "mph",
  unknown: "whether `locationLastReported` is the time of the place; there is no heading",
  hosts: /^services\.spireon\.com$/,
  minIntervalMs: 10_000,
  requires: [[["headers", "X-Nspire-AppToken"], "the application token, beside user name and password"]],
  pull: {
    baseUrl: "https://services.spireon.com",
    path: "/v0/rest/assets",
    query: { active: true, limit: 100, offset: "{offset}" },
    basic: true,
    page: { by: "offset", size: 100, total: "total" },
    intervalMs: MINUTE_MS,
  },
  options: {
    readings: "content",
    deviceId: "id",
    ignoreReading: "lastLocation == `null`",
    latitude: "lastLocation.lat",
    longitude: "lastLocation.lng",
    time: "locationLastReported",
    speed: "speed",
    heading: null,
    details: {
      deviceName: "name",
      street: "lastLocation.address.line1",
      city: "lastLocation.address.city",
      region: "lastLocation.address.stateOrProvince",
      postalCode: "lastLocation.address.postalCode",
    },
  },
});
