/** The list of adapters: two lines for each vendor. */

import { azuga } from "./azuga.ts";
import { bluesNotehub } from "./blues-notehub.ts";
import { bmwCardata } from "./bmw-cardata.ts";
import { bouncie } from "./bouncie.ts";
import { chirpstack } from "./chirpstack.ts";
import { digitalMatter } from "./digital-matter.ts";
import { dimo } from "./dimo.ts";
import { flespi } from "./flespi.ts";
import { fordPro } from "./ford-pro.ts";
import { geotab } from "./geotab.ts";
import { gpsInsight } from "./gps-insight.ts";
import { gpsd } from "./gpsd.ts";
import { gpslogger } from "./gpslogger.ts";
import { hapn } from "./hapn.ts";
import { hslHfp } from "./hsl-hfp.ts";
import { jimi } from "./jimi.ts";
import { json } from "./json/json.ts";
import {
  awsIotShadow,
  digitrafficRail,
  garminInreach,
  homeAssistant,
  homeAssistantStatestream,
  homeMade,
  roataway,
  tasmota,
  thingsboard,
  victron,
} from "./json/presets.ts";
import {
  azugaLive,
  bouncieVehicles,
  gpsInsightLocations,
  linxupLocations,
  motiveLocations,
  onestepgpsDevices,
  spireon,
} from "./json-pull/fleets.ts";
import { jsonPull } from "./json-pull/json-pull.ts";
import { gpswox, navixy, traccarRest, ttsStorage, webfleet, wialon } from "./json-pull/platforms.ts";
import type { Adapter } from "./kit/adapter.ts";
import { linxup } from "./linxup.ts";
import { lytx } from "./lytx.ts";
import { meshtastic } from "./meshtastic.ts";
import { motive } from "./motive.ts";
import { navixyNgp } from "./navixy-ngp.ts";
import { nmea } from "./nmea.ts";
import { onestepgps } from "./onestepgps.ts";
import { osmand } from "./osmand.ts";
import { overland } from "./overland.ts";
import { ovms } from "./ovms.ts";
import { owntracks } from "./owntracks.ts";
import { particleTracker } from "./particle-tracker.ts";
import { ruptela } from "./ruptela.ts";
import { samsara } from "./samsara.ts";
import { samsaraFeed } from "./samsara-feed.ts";
import { sigfox } from "./sigfox.ts";
import { smartcar } from "./smartcar.ts";
import { surfsight } from "./surfsight.ts";
import { teltonika } from "./teltonika.ts";
import { teslaFleetTelemetry } from "./tesla-fleet-telemetry.ts";
import { teslamate } from "./teslamate.ts";
import { theThingsStack } from "./the-things-stack.ts";
import { tive } from "./tive.ts";
import { traccar } from "./traccar.ts";
import { tracksolid } from "./tracksolid.ts";
import { verizonConnect } from "./verizon-connect.ts";
import { verizonReveal } from "./verizon-reveal.ts";
import { wialonNimbus } from "./wialon-nimbus.ts";
import { zubie } from "./zubie.ts";

export const adapters: readonly Adapter[] = [
  awsIotShadow,
  azuga,
  azugaLive,
  bluesNotehub,
  bmwCardata,
  bouncie,
  bouncieVehicles,
  chirpstack,
  digitalMatter,
  digitrafficRail,
  dimo,
  flespi,
  fordPro,
  garminInreach,
  geotab,
  gpsd,
  gpsInsight,
  gpsInsightLocations,
  gpslogger,
  gpswox,
  hapn,
  homeAssistant,
  homeAssistantStatestream,
  homeMade,
  hslHfp,
  jimi,
  json,
  jsonPull,
  linxup,
  linxupLocations,
  lytx,
  meshtastic,
  motive,
  motiveLocations,
  navixy,
  navixyNgp,
  nmea,
  onestepgps,
  onestepgpsDevices,
  osmand,
  overland,
  ovms,
  owntracks,
  particleTracker,
  roataway,
  ruptela,
  samsara,
  samsaraFeed,
  sigfox,
  smartcar,
  spireon,
  surfsight,
  tasmota,
  teltonika,
  teslaFleetTelemetry,
  teslamate,
  theThingsStack,
  thingsboard,
  tive,
  traccar,
  traccarRest,
  tracksolid,
  ttsStorage,
  verizonConnect,
  verizonReveal,
  victron,
  webfleet,
  wialon,
  wialonNimbus,
  zubie,
];

export function findAdapter(vendor: string): Adapter | undefined {
  return adapters.find((adapter) => adapter.vendor === vendor);
}
