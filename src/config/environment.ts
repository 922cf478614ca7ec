/** Builds the settings of a single tenant from environment variables alone, in the same form as in a file. */

import type { Finding, SettingPath } from "./problems.ts";
import { pathText } from "./problems.ts";
import type { Environment } from "./references.ts";
import { SEAL_VARIABLES } from "./seal-keys.ts";

const PREFIX = "WAYPOST_";

/** The names that a file would choose freely. */
const DESTINATION = "servicetitan";
const BROKER = "mqtt";

interface Variable {
  name: string;
  path: SettingPath;
  /** Written with commas between the entries. */
  list?: true;
}

/** One for every setting a single tenant may want; a problem of a whole section names the first one of the section. */
function variables(source: string): Variable[] {
  const ofSource = ["sources", source];
  const ofDestination = ["destinations", DESTINATION];
  const ofBroker = ["mqtt", "brokers", BROKER];
  return [
    { name: "WAYPOST_REDIS_URL", path: ["redis", "url"] },
    { name: "WAYPOST_REDIS_PREFIX", path: ["redis", "prefix"] },
    { name: "WAYPOST_HTTP_HOST", path: ["http", "host"] },
    { name: "WAYPOST_HTTP_PORT", path: ["http", "port"] },
    { name: "WAYPOST_PUBLIC_URL", path: ["http", "publicUrl"] },
    { name: "WAYPOST_TRUSTED_PROXIES", path: ["http", "trustedProxies"], list: true },
    { name: "WAYPOST_OPS_TOKEN", path: ["ops", "token"] },
    { name: "WAYPOST_OPS_HOST", path: ["ops", "host"] },
    { name: "WAYPOST_OPS_PORT", path: ["ops", "port"] },
    { name: "WAYPOST_SOURCE_VENDOR", path: [...ofSource, "vendor"] },
    { name: "WAYPOST_SOURCE_SECRET", path: [...ofSource, "auth", "secret"] },
    { name: "WAYPOST_SOURCE_AUTH_METHOD", path: [...ofSource, "auth", "method"] },
    { name: "WAYPOST_SOURCE_USERNAME", path: [...ofSource, "auth", "username"] },
    { name: "WAYPOST_SOURCE_HEADER", path: [...ofSource, "auth", "header"] },
    { name: "WAYPOST_SOURCE_ALLOW", path: [...ofSource, "auth", "allow"], list: true },
    { name: "WAYPOST_SPEED_UNIT", path: [...ofSource, "speedUnit"] },
    { name: "WAYPOST_UNMAPPED", path: [...ofSource, "unmapped"] },
    { name: "WAYPOST_PULL_DATABASE", path: [...ofSource, "pull", "database"] },
    { name: "WAYPOST_PULL_BASE_URL", path: [...ofSource, "pull", "baseUrl"] },
    { name: "WAYPOST_MQTT_TOPICS", path: [...ofSource, "mqtt", "topics"], list: true },
    { name: "WAYPOST_MQTT_URL", path: [...ofBroker, "url"] },
    { name: "WAYPOST_MQTT_CLIENT_ID", path: [...ofBroker, "clientId"] },
    { name: "WAYPOST_MQTT_USERNAME", path: [...ofBroker, "username"] },
    { name: "WAYPOST_MQTT_PASSWORD", path: [...ofBroker, "password"] },
    { name: "WAYPOST_MQTT_PROTOCOL_VERSION", path: [...ofBroker, "protocolVersion"] },
    { name: "WAYPOST_MQTT_CA", path: [...ofBroker, "ca"] },
    { name: "WAYPOST_MAPPING_FILE", path: ["mapping", "file"] },
    { name: "WAYPOST_TENANT", path: [...ofDestination, "tenant"] },
    { name: "WAYPOST_PROVIDER", path: [...ofDestination, "provider"] },
    { name: "WAYPOST_APP_KEY", path: [...ofDestination, "appKey"] },
    { name: "WAYPOST_CLIENT_ID", path: [...ofDestination, "clientId"] },
    { name: "WAYPOST_CLIENT_SECRET", path: [...ofDestination, "clientSecret"] },
    { name: "WAYPOST_ENVIRONMENT", path: [...ofDestination, "environment"] },
    { name: "WAYPOST_API_URL", path: [...ofDestination, "apiUrl"] },
    { name: "WAYPOST_AUTH_URL", path: [...ofDestination, "authUrl"] },
    { name: "WAYPOST_RATE_PER_SECOND", path: [...ofDestination, "ratePerSecond"] },
    { name: "WAYPOST_MAX_AGE_MS", path: [...ofDestination, "maxAgeMs"] },
    { name: "WAYPOST_LOG_LEVEL", path: ["log", "level"] },
    { name: "WAYPOST_LOG_FORMAT", path: ["log", "format"] },
  ];
}

/** Variables that set no setting of their own. */
const OTHERS = ["WAYPOST_CONFIG", "WAYPOST_SOURCE_NAME", ...SEAL_VARIABLES];

/** Kubernetes sets variables of these forms in every pod when there is a service called waypost. */
const SERVICE_LINK = /^WAYPOST_(PORT|(.+_)?SERVICE_(HOST|PORT)(_.+)?|(.+_)?PORT_\d+_(TCP|UDP)(_.+)?)$/;

export interface EnvironmentSettings {
  raw: Record<string, unknown>;
  findings: Finding[];
  /** What the operator has to change for a setting: its variable, or the setting where there is none. */
  nameOf(path: SettingPath): string;
}

/** Null when the environment has no variable of ours. */
export function settingsFromEnvironment(env: Environment): EnvironmentSettings | null {
  const given = Object.keys(env).filter(
    (name) => name.startsWith(PREFIX) && !SERVICE_LINK.test(name) && env[name],
  );
  if (given.length === 0) return null;
  const sourceName = env.WAYPOST_SOURCE_NAME || env.WAYPOST_SOURCE_VENDOR || "source";
  const table = variables(sourceName);
  const known = new Set([...OTHERS, ...table.map(({ name }) => name)]);

  const source: Record<string, unknown> = { destination: DESTINATION };
  const raw: Record<string, unknown> = {
    ops: {},
    sources: { [sourceName]: source },
    destinations: { [DESTINATION]: {} },
  };
  if (env.WAYPOST_MQTT_URL) source.mqtt = { broker: BROKER };
  for (const { name, path, list } of table) {
    const text = env[name];
    // A compose file passes on an unset variable as an empty one.
    if (text) place(raw, path, list ? text.split(",").map((entry) => entry.trim()) : text);
  }
  return {
    raw,
    findings: given
      .filter((name) => !known.has(name))
      .map((name) => ({ path: [name], message: "is not a variable this gateway knows; see .env.example" })),
    nameOf(path) {
      const text = pathText(path);
      const exact = table.find((variable) => pathText(variable.path) === text);
      const inside = table.find((variable) => pathText(variable.path).startsWith(`${text}.`));
      const around = table.find(
        (variable) => variable.list && text.startsWith(`${pathText(variable.path)}[`),
      );
      return (exact ?? inside ?? around)?.name ?? text;
    },
  };
}

/** The names of all variables, for the example file and its test. */
export function variableNames(): string[] {
  return [...OTHERS, ...variables("source").map(({ name }) => name)];
}

function place(raw: Record<string, unknown>, path: SettingPath, value: unknown): void {
  let at = raw;
  for (const step of path.slice(0, -1)) {
    const next = at[step];
    const section: Record<string, unknown> = typeof next === "object" && next !== null ? { ...next } : {};
    at[step] = section;
    at = section;
  }
  const last = path.at(-1);
  if (last !== undefined) at[last] = value;
}
