/** Has a running gateway follow its configuration: files, signals, requests, and tenants of the API. */

import { setTimeout as pause } from "node:timers/promises";
import type { ApiTenant, ConfigReader } from "../config/load.ts";
import type { EmbeddedBroker } from "../inputs/mqtt/broker.ts";
import type { WebhookServer } from "../inputs/webhook/server.ts";
import { mappingPartsOf } from "../mapping/mappings.ts";
import type { Trail } from "../ops/access/trail.ts";
import type { ReloadRequest } from "../ops/api/routes.ts";
import type { Pipeline, Watch } from "../pipeline.ts";
import type { OwnProcess, ReloadCause } from "../status/configuration.ts";
import type { TenantDocument, TenantDocuments } from "../tenants/documents.ts";
import { iso } from "../time.ts";
import { VERSION } from "../version.ts";
import { tlsOf } from "../wiring.ts";
import { createCertificates, type TlsPort } from "./certificates.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { InForce } from "./in-force.ts";
import { createLeaving } from "./leaving.ts";
import { type Reload, type ReloadResult, startReload } from "./reload.ts";
import { watchBacklogs } from "./tenant-backlogs.ts";
import type { TenantGates } from "./tenant-gates.ts";

export interface FollowOptions {
  inForce: InForce;
  pipeline: Pipeline;
  watch: Watch;
  gates: TenantGates;
  /** Null: there is nothing to read again. */
  reader: ConfigReader | null;
  documents: TenantDocuments;
  /** As far as they are open. */
  ports(): { webhooks?: WebhookServer | undefined; embedded?: EmbeddedBroker | null | undefined };
  /** The configuration in force has changed. */
  inputsChanged(): void;
  trail: Pick<Trail, "record">;
  startedAtMs: number;
}

export interface Following {
  /** Whether the tenants of the API were read once: before, a source that is not known here may be one of theirs. */
  knowsTenants(): boolean;
  reload(cause: ReloadCause): Promise<ReloadResult | null>;
  request: ReloadRequest;
  /** What the other processes are told of this one. */
  self(): OwnProcess;
  stop(): void;
}

export function followConfiguration(options: FollowOptions): Following {
  const { inForce, pipeline, watch, gates, documents, inputsChanged, trail, startedAtMs } = options;
  const { queue, mappings, events } = pipeline;
  const { config } = inForce;
  const backlogsOf = async (names: ReadonlySet<string>) => {
    const { destinations } = await queue.queryStatus(names);
    return new Map(destinations.map(({ name, waiting, inFlight }) => [name, waiting + inFlight]));
  };
  const leaving = createLeaving({
    ...{ gone, backlogsOf, events },
    isConfigured: (name) => config().destinations[name] !== undefined,
  });
  const certificates = createCertificates(tlsPorts(options));
  const backlogs = watchBacklogs({ config, gates, backlogsOf, events });
  const tenants = whileSameMap(documents);
  const reload = options.reader && startWith(options.reader);
  const unfollow = documents.changed(() => void reload?.now("tenants").catch(failed));
  const standing = { fingerprint: fingerprintOf(config()), appliedAt: iso(startedAtMs) };

  let knowsTenants = reload === null;
  let isStopped = false;
  if (reload) void readTenants(reload);

  async function readTenants(taking: Reload): Promise<void> {
    while (!isStopped && !knowsTenants) {
      try {
        const { documents: found } = await documents.refresh();
        if (found.size > 0) await taking.now("tenants");
        knowsTenants = true;
      } catch {
        // That Redis is away is told where it is noticed.
        await pause(TENANTS_AGAIN_MS, undefined, { ref: false });
      }
    }
  }

  function failed(error: unknown): void {
    events.failed({ where: "reload", error });
  }

  function gone(names: Parameters<InForce["gone"]>[0]): void {
    inForce.gone(names);
    queue.reconfigured(config().queue.concurrency);
  }

  function startWith(reader: ConfigReader): Reload {
    return startReload({
      ...{ reader, config, tenants, events },
      problemsOf: (next) =>
        inForce.problemsOf(next).map(({ destination, message }) => `destinations.${destination} ${message}`),
      prepare: (next) => mappings.prepare(mappingPartsOf(next)),
      renewed: certificates.renewed,
      apply(next) {
        const before = config().log.level;
        leaving.add(inForce.replace(next));
        queue.reconfigured(next.queue.concurrency);
        inputsChanged();
        // What an operator has set since the start stays, unless the file says something new.
        if (next.log.level !== before) watch.logLevel.setLevel(next.log.level);
      },
      recorded(cause, result) {
        const done = result.kind === "applied";
        trail.record({
          ...{ by: null, from: null, action: "configuration_reloaded", outcome: done ? "done" : "failed" },
          filter: { cause, ...(done && { changes: textOf(result) }) },
          count: done ? result.changes.length : null,
        });
      },
    });
  }

  return {
    knowsTenants: () => knowsTenants,
    reload: async (cause) => (reload ? await reload.now(cause) : null),
    async request() {
      if (!reload) return { kind: "not_possible" };
      const result = await reload.now("request");
      if (result.kind === "refused") return result;
      const changes = result.kind === "applied" ? result.changes : [];
      const said = changes.map(({ kind, name, change }) => `${kind} ${name} ${change}`);
      return { kind: result.kind, changes: said, restart: result.restart };
    },
    self: () => ({
      ...{ version: VERSION, startedAt: iso(startedAtMs), leaving: leaving.now() },
      configuration: reload?.state() ?? { ...standing, refused: null, restart: [], leftOut: [] },
    }),
    stop() {
      isStopped = true;
      unfollow();
      reload?.stop();
      leaving.stop();
      backlogs.stop();
    },
  };
}

/** Until Redis is connected, milliseconds after the start as a rule. */
const TENANTS_AGAIN_MS = 100;

/** The trail keeps a few hundred characters; the log has all of it. */
function textOf({ changes }: Extract<ReloadResult, { kind: "applied" }>): string {
  return changes.map(({ kind, name, change }) => `${change} ${kind} ${name}`).join(", ");
}

function tlsPorts({ inForce, ports }: FollowOptions): TlsPort[] {
  const { http, mqtt } = inForce.config();
  const renew = (name: "webhooks" | "embedded"): TlsPort["renew"] => {
    return (tls) => {
      const texts = tlsOf(tls);
      if (texts) ports()[name]?.setTls(texts);
    };
  };
  return [
    { setting: "http.tls", tls: http.tls, renew: renew("webhooks") },
    { setting: "mqtt.listen.tls", tls: mqtt.listen?.tls, renew: renew("embedded") },
  ];
}

/** As the reader takes them; a document that has not changed gives the same object. */
function whileSameMap(documents: Pick<TenantDocuments, "current">): () => ReadonlyMap<string, ApiTenant> {
  let from: ReadonlyMap<string, TenantDocument> | null = null;
  let given: ReadonlyMap<string, ApiTenant> = new Map();
  return () => {
    const now = documents.current();
    if (now !== from) {
      from = now;
      given = new Map(
        [...now].map(([name, { document, isPaused }]) => [name, { settings: document, isPaused }]),
      );
    }
    return given;
  };
}
