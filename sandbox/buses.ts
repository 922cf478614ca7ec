/** Vehicles that publish Helsinki's HFP v2 over MQTT, once a second. */

import type { Fix } from "./receiver.ts";
import { iso, SENTINEL_KNOTS, speedIn, type Vendor } from "./vendor.ts";

export const hsl: Vendor = {
  source: "hsl",
  share: 0.1,
  fixEveryMs: 1000,
  fixesPerMessage: 1,
  way: { via: "mqtt", qos: 0 },
  deviceId: (number) => `0018/${String(1000 + number).padStart(5, "0")}`,
  positions(device, [fix]) {
    if (fix === undefined) return null;
    const isLost = fix.flaw === "no_fix";
    const body = JSON.stringify({
      VP: {
        desi: "551",
        dir: "1",
        // The company that runs the vehicle today; its owner stands in the topic.
        oper: 12,
        veh: 1000 + device.number,
        tst: iso(fix.time),
        tsi: Math.floor(fix.time / 1000),
        spd: isLost ? null : speedIn(1, fix, 2, SENTINEL_KNOTS),
        hdg: isLost ? null : Math.round(fix.headingDeg),
        lat: isLost ? null : fix.latitude,
        long: isLost ? null : fix.longitude,
        acc: isLost ? null : 0,
        dl: 0,
        odo: Math.round(fix.odometerM % 100_000),
        drst: 0,
        oday: iso(fix.time).slice(0, 10),
        jrn: 99,
        line: 261,
        start: "11:57",
        loc: isLost ? "N/A" : "GPS",
        stop: null,
        route: "2551",
        occu: 0,
      },
    });
    const level = isLost ? "0////" : `5/${geohash(fix)}`;
    const topic = `/hfp/v2/journey/ongoing/vp/bus/${device.id}/2551/1/Downtown/11:57/2222234/${level}`;
    return { topic, body, fixes: [fix] };
  },
  ignitionChanged: () => null,
};

/** Degrees before the comma, then one level for each further decimal: first that of latitude, then of longitude. */
function geohash({ latitude, longitude }: Fix): string {
  const decimals = (degrees: number) => (Math.abs(degrees) % 1).toFixed(4).slice(2, 5);
  const [lat, lon] = [decimals(latitude), decimals(longitude)];
  const pairs = [0, 1, 2].map((place) => `${lat[place]}${lon[place]}`);
  return [`${Math.trunc(latitude)};${Math.trunc(longitude)}`, ...pairs].join("/");
}
