/** Opens the ops endpoint over a running gateway: gives it what it shows, and what its operators may do. */

import { asAuthenticated } from "./adapters/kit/adapter.ts";
import { opsTokensOf } from "./config/ops-tokens.ts";
import { examine } from "./ingest/examine.ts";
import type { ConnectionShares } from "./limits/ports.ts";
import type { Trail } from "./ops/access/trail.ts";
import type { ReloadRequest } from "./ops/api/routes.ts";
import { createCaptures } from "./ops/captures.ts";
import { createLookup } from "./ops/lookup.ts";
import { type Ops, type OwnStates, openOps } from "./ops/open.ts";
import { policiesOf } from "./ops/policies.ts";
import { createRedriver } from "./ops/redrive.ts";
import type { OpsInfo } from "./ops/status-document.ts";
import type { Tenants } from "./ops/tenants.ts";
import { whileSame } from "./ops/while-same.ts";
import type { Pipeline, Watch } from "./pipeline.ts";
import type { InForce } from "./reload/in-force.ts";
import { instructionsOf } from "./setup/instructions.ts";
import { explainListenError } from "./startup/error.ts";
import { VERSION } from "./version.ts";

export interface OpsEndpointOptions {
  inForce: InForce;
  pipeline: Pipeline;
  watch: Watch;
  startedAtMs: number;
  own(): Pick<OwnStates, "brokers" | "pollers" | "self">;
  reload: ReloadRequest;
  trail: Trail;
  connections: ConnectionShares;
  tenants: Tenants;
  exportsRedis(): boolean;
}

export function openOpsEndpoint(options: OpsEndpointOptions): Promise<Ops> {
  const { inForce, pipeline, watch, trail, connections, tenants, reload, exportsRedis } = options;
  const { mappings, queue, sources, ingest, spoolStatus, events } = pipeline;
  const { registry, clocks, incidents, logLevel } = watch;
  const { config } = inForce;
  const { ops } = config();
  return explainListenError("ops", ops, () =>
    openOps({
      listen: ops,
      tokens: whileSame(() => config().ops, opsTokensOf),
      topology: inForce.topology,
      info: infoOf(inForce, options.startedAtMs),
      queue,
      own: () => ({
        ...options.own(),
        spool: spoolStatus(),
        clocks: clocks.offenders(),
        incidents: incidents.recent(),
      }),
      mapping: () =>
        mappings.isConfigured() ? { problem: mappings.problem(), form: mappings.form() } : null,
      clocks,
      lookup: createLookup({ config, mapping: mappings, queue }),
      captures: createCaptures(queue.captures),
      instructionsOf: (source) => instructionsOf(config(), source),
      tenants,
      reload,
      redrive: createRedriver({
        redrive: queue.redrive,
        newest: queue.newest,
        sources,
        ingest: (source, message) => ingest.ingest(source, asAuthenticated(message)),
        examine: (source, message) => examine(source.adapter, asAuthenticated(message), source),
      }),
      logLevels: { logLevel: logLevel.level, setLogLevel: logLevel.setLevel },
      registry,
      exportsRedis,
      trail,
      connections: connections.ops,
      events,
    }),
  );
}

function infoOf({ config }: InForce, startedAtMs: number): OpsInfo {
  const policies = whileSame(config, policiesOf);
  return {
    version: VERSION,
    startedAtMs,
    get policies() {
      return policies();
    },
    get staleAfterMs() {
      return config().diagnosis.staleAfterMs;
    },
  };
}
