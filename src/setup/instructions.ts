/** What to enter at the vendor of a source: the address, where the secret goes, and what Waypost reads. Without secrets. */

import { findAdapter } from "../adapters/index.ts";
import type { Adapter, AuthMethod } from "../adapters/kit/adapter.ts";
import { EMBEDDED } from "../config/check-sources.ts";
import type { Config, SourceConfig } from "../config/config.ts";
import { hideUrlSecrets } from "../config/values.ts";
import { stepsFor } from "./vendor-steps.ts";

export interface Instructions {
  vendor: string;
  /** Where the vendor sends to; null where nothing is entered because Waypost asks the vendor. */
  address: string | null;
  /** What must stand in the request; a secret is `<secret>`. */
  headers: readonly { name: string; value: string }[];
  steps: readonly string[];
  /** MQTT: the topics that are read; `%u` is the user name of the device. */
  topics: readonly string[];
  /** The vendor's own pages. */
  docs: string;
}

type Settings = Pick<Config, "http" | "mqtt" | "sources">;

const SECRET = "<secret>";
const HOST = "<your host>";

/** Null: there is no such source. The configuration has been checked. */
export function instructionsOf(config: Settings, sourceName: string): Instructions | null {
  const source = config.sources[sourceName];
  const adapter = source && findAdapter(source.vendor);
  if (!source || !adapter) return null;
  const { vendor, docs } = adapter;
  const { steps, ...found } = byWay(config, sourceName, source, adapter);
  return { vendor, docs, headers: [], topics: [], ...found, steps: [...steps, ...stepsFor(vendor)] };
}

/** The general form, from the way the vendor sends and its authentication method. */
type General = Pick<Instructions, "address" | "steps"> & Partial<Pick<Instructions, "headers" | "topics">>;

function byWay(config: Settings, name: string, source: SourceConfig, adapter: Adapter): General {
  if (adapter.pull) return asked(adapter.pull, source);
  if (source.mqtt?.broker === EMBEDDED) return atEmbedded(config, name, source, adapter);
  return source.mqtt ? atBroker(config, source, adapter) : atWebhook(config, name, source, adapter);
}

function atWebhook({ http }: Settings, name: string, source: SourceConfig, adapter: Adapter): General {
  const method = methodOf(adapter, source);
  const { placement } = method;
  const query = placement.kind === "query" ? `?${placement.name}=${SECRET}` : "";
  const verbs = (adapter.methods ?? ["POST"]).join(" or ");
  const enter = `Enter the address at ${adapter.vendor}, which sends to it by ${verbs}.`;
  const kind = adapter.kindInPath
    ? ["The vendor puts the kind of message behind the address by itself."]
    : [];
  return {
    address: `${baseOf(http)}/webhooks/${name}${query}`,
    headers: headersOf(method, source.auth),
    steps: [enter, ...kind, ...proofOf(method, source.auth)],
  };
}

function headersOf({ placement }: AuthMethod, auth: SourceConfig["auth"]): Instructions["headers"] {
  const given = auth?.header ?? "<header>";
  if (placement.kind === "signature")
    return [{ name: placement.header ?? given, value: `<${placement.of}>` }];
  if (placement.kind !== "header") return [];
  const { name = given, scheme } = placement;
  if (scheme === "Bearer") return [{ name, value: `Bearer ${SECRET}` }];
  if (scheme === undefined) return [{ name, value: SECRET }];
  return [
    { name, value: `Basic <base64 of ${auth?.users ? "<user>" : (auth?.username ?? "<user>")}:${SECRET}>` },
  ];
}

/** In words, where the secret is entered and which setting holds it. */
function proofOf({ placement }: AuthMethod, auth: SourceConfig["auth"]): string[] {
  const setting = auth?.secrets ? "the first of auth.secrets" : "auth.secret";
  switch (placement.kind) {
    case "header":
      if (placement.scheme !== "Basic") return [`The vendor must send this header; ${SECRET} is ${setting}.`];
      return auth?.users
        ? [
            `Name and password (HTTP Basic): each sender has one of its own, of auth.users (${auth.users.length}).`,
          ]
        : [`Name and password (HTTP Basic): ${auth?.username ?? "<user>"}, and ${setting}.`];
    case "signature":
      return [`The vendor signs each body with ${setting}: both sides must have the same.`];
    case "query":
      return [`The secret stands in the address: ${SECRET} is ${setting}.`];
    case "body":
      return [`The vendor sends ${setting} as the field ${placement.field} of each body.`];
    case "address":
      return [`The vendor sends no secret: it is known by its address, one of ${auth?.allow?.join(", ")}.`];
    default:
      return placement satisfies never;
  }
}

function methodOf(adapter: Adapter, { auth }: SourceConfig): AuthMethod {
  const method = adapter.auth.find(({ name }) => name === auth?.method) ?? adapter.auth[0];
  if (!method) throw new Error(`Adapter "${adapter.vendor}" offers no authentication method.`);
  return method;
}

function atEmbedded(
  { http, mqtt: { listen } }: Settings,
  name: string,
  source: SourceConfig,
  adapter: Adapter,
): General {
  const devices = listen?.devices.filter((device) => device.source === name) ?? [];
  const host = http.publicUrl === undefined ? HOST : new URL(http.publicUrl).hostname;
  return {
    address: `${listen?.tls ? "mqtts" : "mqtt"}://${host}:${listen?.port}`,
    topics: [...new Set(devices.flatMap((device) => device.topics))],
    steps: [
      `Each device connects with a user name and password of its own, of mqtt.listen.devices (${devices.length}).`,
      "It publishes to the topics; %u is its user name.",
      ...limitOf(adapter, source),
    ],
  };
}

function atBroker({ mqtt }: Settings, source: SourceConfig, adapter: Adapter): General {
  const broker = mqtt.brokers[source.mqtt?.broker ?? ""];
  return {
    address: broker ? hideUrlSecrets(broker.url) : null,
    topics: source.mqtt?.topics ?? adapter.topics ?? [],
    steps: [
      `The vendor publishes to this broker; Waypost subscribes there as ${broker?.clientId}.`,
      ...limitOf(adapter, source),
    ],
  };
}

/** Options may name fewer topics than come in. */
function limitOf({ topicsRead }: Adapter, { options }: SourceConfig): string[] {
  const read = topicsRead?.(options) ?? null;
  return read === null ? [] : [`With these options only messages of ${read.join(", ")} are read.`];
}

function asked(pull: NonNullable<Adapter["pull"]>, { pull: own = {}, auth }: SourceConfig): General {
  const known = "settings" in pull ? pull.settings.parse(own) : pull;
  const every = (own.intervalMs ?? known.intervalMs) / 1000;
  const login = [
    ...(auth?.username === undefined ? [] : ["auth.username"]),
    ...(auth?.secret === undefined ? [] : ["auth.secret"]),
  ];
  const using = login.length === 0 ? "" : `, with ${login.join(" and ")}`;
  const at = hideUrlSecrets(own.baseUrl ?? known.baseUrl);
  return {
    address: null,
    steps: [`No address is entered: Waypost asks ${at} every ${every} s${using}.`],
  };
}

/** Under which vendors reach the webhooks. */
function baseOf({ publicUrl }: Config["http"]): string {
  return publicUrl === undefined ? `https://${HOST}` : publicUrl.replace(/\/+$/, "");
}
