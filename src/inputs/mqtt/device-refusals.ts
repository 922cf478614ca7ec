/** Reports what the embedded broker refuses its devices, and takes it back when a device does what it should. */

import type { Client } from "aedes";
import type { Events } from "../../events/events.ts";
import { visible } from "../../untrusted.ts";
import type { Device, Devices } from "./devices.ts";

export type RefusalEvents = Pick<Events, "deviceRefused" | "incident" | "incidentEnded">;

/** Why a connection was ended. Closed: each has its words in ops/diagnose/incidents.ts. */
export type CutOff = "unreleased" | "reads_nothing" | "too_many_connections" | "too_large" | "login_changed";

/** How a session goes, as far as refusals are concerned. */
export interface Conduct {
  device: Device;
  sinceMs: number;
  hasSubscribed: boolean;
  /** `proven`: it has published for a while and was not ended meanwhile. */
  standing: "new" | "publishing" | "proven";
}

export interface DeviceRefusals {
  /** `isChecked`: the password was looked at; else its sender was wrong too often before. */
  login(client: Client, from: { username: string; address: string; isChecked: boolean }): void;
  loggedIn(device: Device): void;
  topic(client: Client, device: Device, topic: string): void;
  subscription(client: Client, session: Conduct | undefined): void;
  /** Of a device that has logged in, or of an address. */
  cutOff(id: string, device: Device | undefined, why: CutOff): void;
  /** A message of the session was taken. Hot. */
  published(session: Conduct): void;
}

/** Where unknown usernames are reported: they belong to no source. */
const LOGIN = "mqtt login";
/** A session that works for so long is none that is ended again and again. */
const PROVEN_AFTER_MS = 60_000;

export function createDeviceRefusals({
  events,
  devices,
  now = Date.now,
}: {
  events: RefusalEvents;
  devices: Pick<Devices, "named">;
  now?: () => number;
}): DeviceRefusals {
  return {
    login(client, { username, address, isChecked }) {
      const device = devices.named(username);
      const refused = device ? "wrong_password" : "unknown_username";
      // The device is told neither; the operator may know which.
      events.deviceRefused({ client: client.id, username, reason: isChecked ? "bad_login" : "guessing" });
      // The others are the incident `guessing`.
      if (isChecked)
        events.incident({ ...loginOf(username, device?.place ?? LOGIN), facts: { why: refused, address } });
    },
    loggedIn({ username, place }) {
      events.incidentEnded(loginOf(username, place));
      // Of a time when it was not configured yet.
      events.incidentEnded(loginOf(username, LOGIN));
    },
    topic(client, device, topic) {
      const { username, place, allowed } = device;
      events.deviceRefused({ client: client.id, username, reason: "foreign_topic", topic, allowed });
      events.incident({
        ...{ kind: "topic_refused", where: place, subject: username },
        facts: { topic, allowed: allowed.join(", "), suggested: topicsFor(device, topic, devices) ?? "" },
      });
    },
    subscription(client, session) {
      events.deviceRefused({ client: client.id, reason: "subscribes" });
      if (!session) return;
      session.hasSubscribed = true;
      const { username, place } = session.device;
      events.incident({ kind: "subscription_refused", where: place, subject: username });
    },
    cutOff(id, device, why) {
      events.deviceRefused({ client: id, reason: why });
      events.incident({
        ...{ kind: "device_cut_off", where: device?.place ?? "mqtt port", subject: device?.username ?? id },
        facts: { why },
      });
    },
    published(session) {
      const { username, place } = session.device;
      events.incidentEnded({ kind: "topic_refused", where: place, subject: username });
      if (session.standing === "proven") return;
      if (session.standing === "new" && !session.hasSubscribed) {
        // Devices subscribe before they publish, if at all.
        session.standing = "publishing";
        events.incidentEnded({ kind: "subscription_refused", where: place, subject: username });
      }
      if (now() - session.sinceMs < PROVEN_AFTER_MS) return;
      session.standing = "proven";
      events.incidentEnded({ kind: "device_cut_off", where: place, subject: username });
    },
  };
}

function loginOf(username: string, where: string) {
  return { kind: "device_login_refused", where, subject: username || "(no username)" } as const;
}

/** A real list of topics is shorter. */
const MAX_SUGGESTED_CHARS = 250;

/** The setting `topics` that would let the device publish there; null where it should not, or no one would copy it. */
function topicsFor(
  { username, topics }: Pick<Device, "username" | "topics">,
  topic: string,
  devices: Pick<Devices, "named">,
): string | null {
  const levels = topic.split("/");
  const own = levels.indexOf(username);
  // The topic of the broker itself, or of another device.
  if (topic.startsWith("$") || (own < 0 && levels.some((level) => devices.named(level)))) return null;
  const filter = own < 0 ? topic : [...levels.slice(0, own), "%u", "#"].join("/");
  const isDefault = topics.length === 1 && topics[0] === "%u/#";
  const list = [...(isDefault ? [] : topics), filter].map((each) => JSON.stringify(each));
  const setting = `[${list.join(", ")}]`;
  return setting.length > MAX_SUGGESTED_CHARS || visible(setting) !== setting ? null : setting;
}
