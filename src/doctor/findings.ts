/** Everything that `doctor` can find: for each kind what is wrong, in one line, and what to do about it. */

/** Facts stand in braces. `npm run docs` writes docs/doctor.md from this table. */
export const FINDINGS = {
  configuration: {
    says: "{problem}",
    remedy: "Correct the setting. Nothing outside was asked.",
  },
  not_in_time: {
    says: "No result within {seconds} s.",
    remedy: "Ask this alone, with --source or --destination, and give it longer with --within 60s.",
  },

  check_failed: {
    says: "This check failed by itself: {problem}",
    remedy: "Report it to us, with the version (waypost --version).",
  },

  redis_unreachable: {
    says: "Redis does not answer ({why}).",
    remedy: "Start Redis, or correct redis.url. Until it answers, senders get 503.",
  },
  redis_version: {
    says: "Redis {version} is too old.",
    remedy: "Install Redis 7 or later, or Valkey.",
  },
  redis_aof_off: {
    says: "AOF is off: a restart of Redis loses what is waiting.",
    remedy: "Set appendonly yes in Redis's configuration; appendfsync everysec is its default.",
  },
  redis_fsync_off: {
    says: "appendfsync is no: a machine crash may lose many seconds.",
    remedy: "Set appendfsync everysec in Redis's configuration.",
  },
  redis_evicts: {
    says: "maxmemory-policy is {policy}: Redis may silently throw waiting pings away.",
    remedy: "Set maxmemory-policy noeviction in Redis's configuration.",
  },
  redis_memory: {
    says: "{percent} % of Redis's maxmemory ({maxMb} MB) are used; when it is full, senders get 503.",
    remedy: "Raise maxmemory, or lower the budgets under queue and destinations.<name>.bufferBytes.",
  },
  redis_replica: {
    says: "redis.url leads to a replica, which takes no writes.",
    remedy: "Lead it to the primary. Until then senders get 503.",
  },
  redis_write_failed: {
    says: "The last AOF write failed; until one succeeds, Redis refuses every write.",
    remedy: "Give Redis's disk space, and look at Redis's log. Until then senders get 503.",
  },
  redis_save_failed: {
    says: "The last RDB save failed.",
    remedy:
      "Look at Redis's log and its disk; unless stop-writes-on-bgsave-error is no, Redis refuses writes.",
  },
  redis_slow: {
    says: "An answer of Redis takes {ms} ms; a write counts as failed after {timeoutMs} ms.",
    remedy: "Run Redis in the same data centre, and look at its slow log (redis-cli slowlog get).",
  },
  redis_clock: {
    says: "This machine's clock is {offset} that of Redis.",
    remedy:
      "Synchronise both by NTP: gates, slots and expiry use Redis's clock, age and arrival this machine's.",
  },

  dns_failed: {
    says: "DNS: the name {host} cannot be looked up ({code}).",
    remedy: "Check this machine's resolver (getent hosts {host}), and the name's spelling where you gave it.",
  },
  tls_failed: {
    says: "TLS: no trusted connection to {host} ({code}).",
    remedy:
      "Where a firewall opens TLS, name its authority in NODE_EXTRA_CA_CERTS; else see the host's certificate, and the port.",
  },
  proxy_failed: {
    says: "Proxy: {proxy} makes no connection to {host} ({code}).",
    remedy: "Check HTTPS_PROXY and HTTP_PROXY, the proxy's login and what it allows; NO_PROXY goes past it.",
  },
  host_unreachable: {
    says: "{host} gives no answer ({code}).",
    remedy: "Let this machine connect there (firewall, routing), and see that something listens.",
  },
  clock_off: {
    says: "This machine's clock is {offset} that of {host}.",
    remedy: "Synchronise this machine's clock by NTP: ages are wrong, and good positions are turned down.",
  },

  secret_malformed: {
    says: "The credentials are refused, and {setting} holds {what}.",
    remedy: "Copy it again from ServiceTitan's developer portal, and nothing around it.",
  },
  wrong_environment: {
    says: "Client id and secret are of {other}, and environment is {environment} ({words}).",
    remedy: "Set environment: {other}, or use the client id and secret of {environment}.",
  },
  credentials_refused: {
    says: "Client id or secret are refused ({words}): one is wrong, of another environment, or the app is disabled.",
    remedy:
      "Compare both with the app's connection to this tenant in this environment (developer portal, View Connections).",
  },
  token_unavailable: {
    says: "The token endpoint gives no token now ({words}).",
    remedy: "Wait, and ask again; where it lasts, ask ServiceTitan.",
  },
  wrong_client: {
    says: "The client belongs to tenant {theirs}, and destination.tenant is {tenant} ({words}).",
    remedy: "Each tenant has a client id and secret of its own: use those of tenant {tenant}.",
  },
  app_key_wrong: {
    says: "The app key is not accepted ({words}).",
    remedy: "Copy appKey from the app in the developer portal; it is the same in both environments.",
  },
  scope_missing: {
    says: "The app may not send pings: its token lacks the scope tn.dis.gpspings:w ({words}).",
    remedy:
      "Add the scope to the app in the developer portal; then the tenant's admin accepts its new version.",
  },
  version_refused: {
    says: "The tenant has not accepted the app's newest version ({words}).",
    remedy:
      "The tenant's admin accepts the new version in ServiceTitan: each change of an app's scopes needs it.",
  },
  tenant_unknown: {
    says: "Tenant {tenant} is not known to this app in this environment, or the API's address is wrong ({words}).",
    remedy: "Check tenant, environment and apiUrl, and that the tenant's admin has connected the app.",
  },
  provider_not_connected: {
    says: "The app is not connected to a GPS provider named {provider} ({words}): not chosen, or a wrong name.",
    remedy:
      "The tenant's admin chooses it at Connect App (API Application Access); provider is the name ServiceTitan gave you.",
  },
  provider_inactive: {
    says: "The GPS provider {provider} is not activated ({words}).",
    remedy: "The tenant's admin activates it under Settings, Integrations, GPS.",
  },
  call_refused: {
    says: "ServiceTitan refuses the request ({words}), which can mean: {causes}.",
    remedy: "Go through them in this order: {steps}",
  },
  call_throttled: {
    says: "ServiceTitan allows no more requests now ({words}); ratePerSecond is {rate}.",
    remedy:
      "Find what else uses this app and tenant, and lower ratePerSecond: 60 a second are for all together.",
  },
  call_unavailable: {
    says: "ServiceTitan cannot answer now ({words}).",
    remedy: "Wait, and ask again; where it lasts, ask ServiceTitan.",
  },
  test_ping_refused: {
    says: "ServiceTitan does not accept the test ping of {unit} ({words}).",
    remedy: "See that the unit is in the provider's Devices tab in ServiceTitan, letter by letter.",
  },

  broker_login: {
    says: "The broker refuses the login ({words}).",
    remedy:
      "Check username, password and certificate; a broker that knows its client ids must also allow {clientId}, or skip this.",
  },
  subscription_refused: {
    says: "The broker refuses the subscription to {filter} ({words}).",
    remedy: "Give the login the right to read {filter}, or correct the topics of the source.",
  },
  subscription_qos: {
    says: "The broker grants QoS 0 only for {filter}: what is sent while the gateway is away is lost.",
    remedy: "Allow QoS 1 at the broker, and let devices publish with it.",
  },
  retained_flood: {
    says: "More than {count} retained messages come with a new session, old positions before new ones.",
    remedy: "Let devices publish without the retain flag, and clear what is retained (publish it empty).",
  },

  vendor_not_well: {
    says: "The vendor does not answer as it should: {problem}",
    remedy:
      "Compare auth, pull and options with the vendor's documentation; docs/reasons.md (Polls) explains the word.",
  },

  descriptors_low: {
    says: "A process may open {limit} files here; this configuration needs {needed} at least.",
    remedy:
      "Raise the limit for the gateway: LimitNOFILE= of systemd, ulimits of the container, or ulimit -n.",
  },
  spool_unwritable: {
    says: "spool.dir: {dir} cannot be written to ({code}).",
    remedy: "Make the directory, and give it to the user that runs the gateway.",
  },
  spool_disk_full: {
    says: "The disk of {dir} has {freeMb} MB free, and the spool may want {wantedMb} MB more.",
    remedy: "Free the disk, or lower spool.maxBytes: a full disk turns senders away while Redis is away.",
  },
} as const satisfies Record<string, { says: string; remedy: string }>;

export type FindingKind = keyof typeof FINDINGS;

/** What is wrong, and the one thing to do about it. */
export interface Finding {
  kind: FindingKind;
  says: string;
  remedy: string;
}

type Holes<Text extends string> = Text extends `${string}{${infer Hole}}${infer Rest}`
  ? Hole | Holes<Rest>
  : never;
type Facts<Kind extends FindingKind> = Record<
  Holes<(typeof FINDINGS)[Kind]["says"] | (typeof FINDINGS)[Kind]["remedy"]>,
  string | number
>;

export function finding<Kind extends FindingKind>(kind: Kind, facts: Facts<Kind>): Finding {
  const known: Readonly<Record<string, string | number>> = facts;
  const filled = (text: string) => text.replaceAll(/\{(\w+)\}/g, (hole, name) => String(known[name] ?? hole));
  return { kind, says: filled(FINDINGS[kind].says), remedy: filled(FINDINGS[kind].remedy) };
}
