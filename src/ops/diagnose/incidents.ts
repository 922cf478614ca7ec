/** Turns what went wrong at our own ports into problems: one entry for each kind of incident at one place. */

import type { IncidentCause, IncidentKind, IncidentState } from "../../status/process.ts";
import { durationText, timeText } from "./duration.ts";
import { type Finding, listed, warning } from "./problem.ts";

/** What of the incident lasts: at least one cause. */
interface Lasting {
  where: string;
  count: number;
  causes: readonly IncidentCause[];
  /** The latest of them. */
  latest: IncidentCause;
  nowMs: number;
}

interface Words {
  what(incident: Lasting): string;
  doNext(incident: Lasting): string;
}

const WORDS: Record<IncidentKind, Words> = {
  foreign_device: {
    what: ({ count, causes }) =>
      `${count} position${count === 1 ? " was" : "s were"} rejected (foreign_device) because the login may not speak for the device: ${named(causes)}.`,
    doNext: () =>
      "If the login belongs to the device, list its id under the login's speaksFor in the configuration (\"*\" in it stands for any characters) and restart. If not, somebody reports as another device: change that login's password.",
  },
  guessing: {
    what: ({ where, count, causes }) =>
      where.startsWith("source ")
        ? `${count} messages with wrong credentials were more than one sender may have, and some were not looked at. From ${named(causes)}.`
        : `${count} wrong logins were more than one address may have, and some were not looked at. From ${named(causes)}.`,
    doNext: () =>
      "If that is your own vendor, device or script, it has an old secret: put it right there, and it is let in within a minute. If not, somebody is guessing: block the address, and change the secret if it is short.",
  },
  connections_refused: {
    what: ({ count, causes }) =>
      `${count} connections were refused, or closed to make room, since too many were open; the last came from ${named(causes)}.`,
    doNext: () =>
      "If these addresses are not your senders', block them in front of the gateway. If they are, raise maxConnections or maxConnectionsPerAddress, and the process's limit of open files; name a proxy in front in http.trustedProxies.",
  },
  device_login_refused: {
    what: ({ causes, nowMs }) =>
      `The embedded broker refuses logins of devices: ${listed(causes.map((cause) => `${cause.name}: ${loginWords(cause)}, ${often(cause, nowMs)}`))}.`,
    doNext: ({ causes }) =>
      causes.some(({ facts }) => facts.why === "unknown_username")
        ? "If the device is yours, add its login under mqtt.listen.devices, or correct the username in the device. If not, somebody tries logins: block the address."
        : "Enter the password that the configuration has for this username (mqtt.listen.devices) in the device. If the device is not yours, somebody tries passwords: block the address.",
  },
  topic_refused: {
    what: ({ causes, nowMs }) =>
      `Devices publish to topics that are not allowed to their login, and are disconnected: ${listed(causes.map((cause) => `${cause.name} publishes to ${cause.facts.topic}, allowed is ${cause.facts.allowed}, ${often(cause, nowMs)}`))}.`,
    doNext({ latest: { name, facts } }) {
      const atDevice = `${facts.suggested ? "Or set" : "Set"} the topic in the device to one that is allowed`;
      return facts.suggested
        ? `If the topic is right, give ${name} under mqtt.listen.devices this line, and restart: topics: ${facts.suggested}. ${atDevice}.`
        : `${atDevice}.`;
    },
  },
  topic_unread: {
    what: ({ count, causes }) =>
      `${count} message${count === 1 ? "" : "s"} came on topics that nothing here reads: ${named(causes)}.`,
    doNext({ where, causes }) {
      const fitting = causes.find(({ facts }) => facts.vendor);
      if (fitting) {
        const { vendor, filter } = fitting.facts;
        return `${fitting.name} would fit vendor ${vendor}: add a source with vendor: ${vendor} for it, or list the topic with the source that should read it: topics: ["${filter}"].`;
      }
      return where.startsWith("broker ")
        ? "If positions are in them, list the topic under mqtt.topics of the source that should read it. If not, the broker still has a subscription of an earlier configuration: give the gateway another clientId there."
        : "If positions are in them, name the topic in the options of the source. If not, let the device publish its positions only.";
    },
  },
  subscription_refused: {
    what: ({ causes }) =>
      `Devices ask the embedded broker for a subscription, which nobody gets: ${named(causes)}. What they publish is taken all the same.`,
    doNext: () =>
      "Switch off commands or subscriptions in the device. Nothing is lost if you leave it so, as long as its positions come in.",
  },
  device_cut_off: {
    what: ({ count, causes }) =>
      `${count} connection${count === 1 ? " of devices was" : "s of devices were"} ended: ${listed(causes.map(({ name, facts }) => `${name} (${facts.why})`))}.`,
    doNext: ({ causes }) =>
      [...new Set(causes.map(({ facts }) => facts.why ?? ""))]
        .flatMap((why) => CUT_OFF_WORDS[why] ?? [])
        .concat("If it is no device of yours, change its password.")
        .join(" "),
  },
  share_used_up: {
    what: ({ count, latest: { since, facts }, nowMs }) =>
      `Since ${timeText(Date.parse(since), nowMs)} it sends more than its share of the machine can decode: ${count} of its messages had to wait, or to be sent again, the last for ${durationText(Number(facts.waitedMs ?? 0))}. Other sources are served before it.`,
    doNext: () =>
      "If its vendor sends that much, give the source a process of its own, or ask for fewer and smaller messages. If not, somebody floods it: change its secret.",
  },
};

/** By why a connection was ended. */
const CUT_OFF_WORDS: Readonly<Record<string, string>> = {
  unreleased: "unreleased: the device sends with QoS 2 and no PUBREL; use QoS 1, or update its firmware.",
  reads_nothing: "reads_nothing: the device does not read our answers; update its firmware.",
  too_large:
    "too_large: a packet is far above mqtt.listen.maximumPacketBytes; let the device send fewer positions at once, or raise it.",
  login_changed:
    "login_changed: its login was changed or removed in the configuration; give the device the new one.",
  too_many_connections:
    "too_many_connections: more connections than one login may have, so the oldest made room; give each device a login of its own.",
};

const LOGIN_WORDS: Readonly<Record<string, string>> = {
  wrong_password: "wrong password",
  unknown_username: "unknown username",
};

function loginWords({ facts }: IncidentCause): string {
  const from = facts.address ? ` from ${facts.address}` : "";
  return `${LOGIN_WORDS[facts.why ?? ""] ?? "refused"}${from}`;
}

/** `3 times since 15:44 UTC`. */
function often({ count, since }: IncidentCause, nowMs: number): string {
  const at = timeText(Date.parse(since), nowMs);
  return count === 1 ? `at ${at}` : `${count} times since ${at}`;
}

function named(causes: readonly IncidentCause[]): string {
  return listed(causes.map(({ name }) => name));
}

/** `where` of an incident is what the problem is about: `source vans`, `webhook port`. */
export function diagnoseIncidents(incidents: readonly IncidentState[], nowMs: number): Finding[] {
  return incidents.flatMap((incident) => {
    const { kind, where, count } = incident;
    const causes = incident.subjects.filter(({ until }) => Date.parse(until) > nowMs);
    const [latest] = causes;
    if (!latest) return [];
    const lasting = { where, count, causes, latest, nowMs };
    const { what, doNext } = WORDS[kind];
    return warning(kind, where, {
      what: what(lasting),
      doNext: doNext(lasting),
      sinceMs: Math.min(...causes.map(({ since }) => Date.parse(since))),
      subjects: causes.map(({ name }) => name),
    });
  });
}
