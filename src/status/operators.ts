/** What operators do, as the trail has it, and why the ops endpoint refuses a request. */

/** What operators do, and what is done to the gateway's configuration. Closed: each is a metric label. */
export const OPERATOR_ACTIONS = [
  "login",
  "login_failed",
  "logout",
  /** What was set aside is sent on its way again, or looked at in a dry run. */
  "redrive",
  /** Everything that was set aside and fits a filter, taken out of the gateway. */
  "export",
  /** What was delivered for one technician, the pings of one unit, one message of the quarantine. */
  "gps_pings",
  "unit_pings",
  "quarantined_message",
  /** What happened to one device. */
  "timeline",
  /** The next messages of one source, scrubbed, for a report to us. */
  "capture",
  "log_level",
  /** A tenant that came through the API. */
  "tenant_created",
  "tenant_replaced",
  "tenant_paused",
  "tenant_resumed",
  "tenant_deleted",
  "tenants_resealed",
  /** What is stored of a tenant, or of one of its units, is gone. */
  "erasure",
  /** A link that opens one tenant's page. */
  "link",
  "reload",
  "configuration_loaded",
  "configuration_reloaded",
  "mapping_reloaded",
] as const;
export type OperatorAction = (typeof OPERATOR_ACTIONS)[number];

/** `cut_off`: the client went away before the end. */
export type OperatorOutcome = "done" | "refused" | "failed" | "cut_off";

/** One entry of the trail: who did what, to what, from where. */
export interface OperatorEvent {
  action: OperatorAction;
  /** The token's name; null where none of ours was shown. */
  by: string | null;
  /** The address asked from; null for what the gateway did by itself. */
  from: string | null;
  filter: Readonly<Record<string, string>>;
  /** How many came out of it or were concerned; null where there is nothing to count. */
  count: number | null;
  outcome: OperatorOutcome;
}

/** Why the ops endpoint refuses a request, whatever its token. Closed: each is a metric label. */
export const OPS_REFUSALS = ["wrong_host", "cross_site", "not_json", "role"] as const;
export type OpsRefusal = (typeof OPS_REFUSALS)[number];
