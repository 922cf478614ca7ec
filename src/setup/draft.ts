/** Writes a first configuration for one vendor and one tenant, with its secrets apart: what `waypost init` puts into files. */

import { randomBytes } from "node:crypto";
import { Document } from "yaml";
import type { Adapter, AuthMethod } from "../adapters/kit/adapter.ts";
import { EMBEDDED } from "../config/check-sources.ts";
import { isRecord } from "../untrusted.ts";

/** What an operator says of the vendor and of ServiceTitan; the rest has defaults. */
export interface DraftAnswers {
  source: string;
  tenant: string;
  provider: string;
  environment: "production" | "integration" | "custom";
  apiUrl?: string;
  authUrl?: string;
  /** Authentication method; left out: the vendor's usual one. */
  auth?: string;
  username?: string;
  header?: string;
  allow?: readonly string[];
  speedUnit?: string;
  /** Of a polled vendor. */
  baseUrl?: string;
  database?: string;
  /** Of a broker that the vendor publishes to; left out: devices connect to the embedded one. */
  broker?: string;
  topics?: readonly string[];
  options?: unknown;
  redis?: string;
  port?: number;
  opsPort?: number;
  publicUrl?: string;
}

export interface DraftSecret {
  /** Lower case with dashes; a file's name, and in capitals a variable's. */
  name: string;
  value: string;
  /** Whoever hands it out: we made it, or it is a stand-in until a person puts the right one there. */
  from: "us" | "the vendor" | "ServiceTitan";
}

export interface Draft {
  /** With the secrets in it, for checking. */
  settings: Record<string, unknown>;
  secrets: readonly DraftSecret[];
  /** The YAML file, in which each secret is what `referenceOf` says. */
  yaml(referenceOf: (secret: DraftSecret) => string): string;
}

const DESTINATION = "servicetitan";
const BROKER = "fleet";

export function draftOf(adapter: Adapter, answers: DraftAnswers): Draft {
  const secrets: DraftSecret[] = [];
  const add = (name: string, from: DraftSecret["from"], value = randomBytes(24).toString("hex")) => {
    secrets.push({ name, from, value });
    return value;
  };
  const { redis, port, opsPort, publicUrl, tenant, provider, environment, apiUrl, authUrl } = answers;
  const { source, mqtt } = sourceOf(adapter, answers, add);
  const settings = {
    ...(redis !== undefined && { redis: { url: redis } }),
    http: {
      host: "127.0.0.1",
      ...(port !== undefined && { port }),
      ...(publicUrl !== undefined && { publicUrl }),
    },
    ops: { ...(opsPort !== undefined && { port: opsPort }), token: add("ops-token", "us") },
    ...(mqtt && { mqtt }),
    sources: { [answers.source]: source },
    destinations: {
      [DESTINATION]: {
        environment,
        ...(apiUrl !== undefined && { apiUrl }),
        ...(authUrl !== undefined && { authUrl }),
        tenant,
        provider,
        appKey: add("servicetitan-app-key", "ServiceTitan", "put-the-app-key-here"),
        clientId: add("servicetitan-client-id", "ServiceTitan", "put-the-client-id-here"),
        clientSecret: add("servicetitan-client-secret", "ServiceTitan", "put-the-client-secret-here"),
      },
    },
  };
  return { settings, secrets, yaml: (referenceOf) => yamlOf(settings, secrets, referenceOf) };
}

type Add = (name: string, from: DraftSecret["from"]) => string;
interface DraftSource {
  source: Record<string, unknown>;
  mqtt?: Record<string, unknown>;
}

function sourceOf(adapter: Adapter, answers: DraftAnswers, add: Add): DraftSource {
  const { speedUnit, options } = answers;
  const common = {
    vendor: adapter.vendor,
    destination: DESTINATION,
    ...(speedUnit !== undefined && { speedUnit }),
    ...(options !== undefined && { options }),
  };
  if (adapter.pull) return { source: { ...common, ...polled(adapter.pull.needs, answers, add) } };
  if (!adapter.transports.includes("webhook") || answers.broker !== undefined) {
    const { source, mqtt } = published(adapter, answers, add);
    return { source: { ...common, ...source }, ...(mqtt && { mqtt }) };
  }
  const methods = adapter.auth.filter(({ isByNameOnly }) => !isByNameOnly);
  const method = adapter.auth.find(({ name }) => name === answers.auth) ?? methods[0];
  const isNamed = answers.auth !== undefined || methods.length > 1;
  const auth = method && authOf(method, answers, add);
  return {
    source: { ...common, auth: { ...(isNamed && { method: answers.auth ?? method?.name }), ...auth } },
  };
}

function authOf({ needs, placement }: AuthMethod, answers: DraftAnswers, add: Add): Record<string, unknown> {
  const { source, username = "waypost", header = "X-Waypost-Key", allow = [] } = answers;
  const isTheirs = placement.kind === "signature" || placement.kind === "body";
  const given = {
    header: () => ({ header }),
    allow: () => ({ allow }),
    username: () => ({ username }),
    secrets: () => ({ secret: add(`${source}-secret`, isTheirs ? "the vendor" : "us") }),
  };
  return Object.assign({}, ...needs.map((need) => given[need]()));
}

/** What a vendor needs beside user name and secret stands under `pull`, at the path that it names. */
function polled(needs: readonly string[], answers: DraftAnswers, add: Add): Record<string, unknown> {
  const { source, username, baseUrl, database } = answers;
  const auth: Record<string, unknown> = {};
  const pull: Record<string, unknown> = {
    ...(baseUrl !== undefined && { baseUrl }),
    ...(database !== undefined && { database }),
  };
  for (const need of needs) {
    if (need === "baseUrl" || need === "database") continue;
    if (need === "username" && username !== undefined) auth.username = username;
    else if (need === "username" || need === "secret") auth[need] = add(`${source}-${need}`, "the vendor");
    else
      place(pull, need.split("."), add(`${source}-${need.split(".").at(-1)?.toLowerCase()}`, "the vendor"));
  }
  return { ...(Object.keys(auth).length > 0 && { auth }), ...(Object.keys(pull).length > 0 && { pull }) };
}

function place(into: Record<string, unknown>, [step = "", ...rest]: readonly string[], value: string): void {
  if (rest.length === 0) {
    into[step] = value;
    return;
  }
  const inside = isRecord(into[step]) ? into[step] : {};
  into[step] = inside;
  place(inside, rest, value);
}

/** To a broker that both reach, or by devices that log in at the embedded one. */
function published(adapter: Adapter, answers: DraftAnswers, add: Add): DraftSource {
  const { source, broker, topics, username, tenant } = answers;
  if (broker !== undefined) {
    const login = username !== undefined && { username, password: add(`${source}-password`, "the vendor") };
    return {
      source: { mqtt: { broker: BROKER, ...(topics && { topics }) } },
      mqtt: { brokers: { [BROKER]: { url: broker, clientId: `waypost-${tenant}`, ...login } } },
    };
  }
  const filters = topics ?? adapter.topics ?? [];
  const device = {
    username: username ?? "device-1",
    password: add(`${source}-device-1`, "us"),
    source,
    ...(filters.length > 0 && { topics: filters }),
  };
  return {
    source: { mqtt: { broker: EMBEDDED } },
    mqtt: { listen: { host: "127.0.0.1", devices: [device] } },
  };
}

function yamlOf(
  settings: Record<string, unknown>,
  secrets: readonly DraftSecret[],
  referenceOf: (secret: DraftSecret) => string,
): string {
  const document = new Document(settings);
  document.commentBefore = [
    " Written by waypost init. Every setting: waypost.example.yaml and docs/configuration.md.",
    " All ports are heard on this machine alone: put a TLS proxy before them, or set host and tls.",
    " Without a mapping a device is its own unit; mapping.file names a file that joins both.",
  ].join("\n");
  const text = document.toString({ lineWidth: 0 });
  // Random texts, and stand-ins that occur once: each is found where it was put.
  return secrets.reduce((all, secret) => all.replaceAll(secret.value, () => referenceOf(secret)), text);
}
