/** The faults that can be switched on in the stand-in API: what they are, and which of them applies to a request now. */

import { z } from "zod";
import type { SandboxPing } from "./schema.ts";

const match = z
  .strictObject({ unitId: z.string().optional(), externalId: z.string().optional() })
  .refine(
    (given) => given.unitId !== undefined || given.externalId !== undefined,
    "needs unitId or externalId",
  );
type Match = z.output<typeof match>;

/** Whether the sandbox accepts the pings of the request although the sender never learns it. */
const when = z.enum(["before_accepting", "after_accepting"]).default("before_accepting");

/** What the real service answers here is unknown, so that it can be chosen. */
const undocumented = z.literal([400, 403, 404]).default(403);

const reach = {
  /** Only requests of this tenant; token requests: only clients connected to it. */
  tenant: z.string().optional(),
  /** Ends after this many strikes. */
  times: z.int().positive().optional(),
  /** Ends after this many milliseconds. */
  forMs: z.number().positive().optional(),
};

const fault = z.discriminatedUnion("kind", [
  /** 429; `hint` says where the waiting time stands. */
  z.strictObject({
    kind: z.literal("throttle"),
    hint: z.enum(["seconds", "date", "body", "none"]).default("seconds"),
    seconds: z.number().nonnegative().default(1),
    ...reach,
  }),
  /** A bare status, as a gateway or a broken back end answers. */
  z.strictObject({
    kind: z.literal("status"),
    status: z.int().min(400).max(599),
    retryAfterS: z.number().nonnegative().optional(),
    ...reach,
  }),
  /** 400 for every batch with a matching ping. */
  z.strictObject({ kind: z.literal("poison"), match, ...reach }),
  /** 200, but `Fail` for the matching pings. */
  z.strictObject({
    kind: z.literal("fail"),
    match,
    message: z.string().default("Unit is not known to this provider."),
    ...reach,
  }),
  /** 200, but the matching pings are not in the answer; they are not accepted. */
  z.strictObject({ kind: z.literal("omit"), match, ...reach }),
  /** 200 with a body that is not JSON; the pings are accepted. */
  z.strictObject({ kind: z.literal("unreadable"), ...reach }),
  /** 413 above this many bytes. */
  z.strictObject({ kind: z.literal("byte_cap"), bytes: z.int().positive(), ...reach }),
  /** Never answers. */
  z.strictObject({ kind: z.literal("hang"), when, ...reach }),
  /** The answer's second half comes this much later. */
  z.strictObject({ kind: z.literal("slow_body"), seconds: z.number().positive(), ...reach }),
  /** The connection is reset. */
  z.strictObject({ kind: z.literal("reset"), when, ...reach }),
  /** All tokens issued so far are refused from now on; strikes once, when it is set. */
  z.strictObject({ kind: z.literal("token_revoked") }),
  /** The token endpoint knows no such client: it is registered in the other environment. */
  z.strictObject({ kind: z.literal("wrong_environment"), ...reach }),
  /** 401: the app key is of no app. */
  z.strictObject({ kind: z.literal("app_key_wrong"), ...reach }),
  /** The app has no scope for pings: new tokens are without it, and requests get 403. */
  z.strictObject({ kind: z.literal("scope_missing"), ...reach }),
  /** 403: the tenant's admin has not accepted the app's newest version, whatever the token's scopes are. */
  z.strictObject({ kind: z.literal("version_refused"), ...reach }),
  /** 404, as the real gateway words it for a tenant that the app is not connected to. */
  z.strictObject({ kind: z.literal("tenant_unknown"), ...reach }),
  /** The provider was not chosen at Connect App. */
  z.strictObject({ kind: z.literal("provider_not_connected"), status: undocumented, ...reach }),
  /** The tenant's admin has not activated the provider. */
  z.strictObject({ kind: z.literal("provider_inactive"), status: undocumented, ...reach }),
  /** Every answer's `Date` is this far off; below 0 it is behind. */
  z.strictObject({ kind: z.literal("clock_off"), seconds: z.number() }),
  /** The token endpoint answers with this status. */
  z.strictObject({ kind: z.literal("token_down"), status: z.int().min(400).max(599).default(503), ...reach }),
]);

export type Fault = z.output<typeof fault>;
export type FaultInput = z.input<typeof fault>;

const faultOrFaults = z
  .union([fault, z.array(fault)])
  .transform((given) => (Array.isArray(given) ? given : [given]));

/** A fault as listed: how often it struck, and whether it still can. */
export interface FaultState {
  fault: Fault;
  strikes: number;
  active: boolean;
}

export interface Faults {
  /** Switches on exactly these faults and all others off. Throws a ZodError on an unknown one. */
  set(given: FaultInput | FaultInput[]): void;
  clear(): void;
  list(): FaultState[];
}

/** What the endpoints need of the faults. */
export interface Strikes {
  /** The first active fault of the kind that reaches these tenants and passes `applies`; a strike is counted. */
  strike<K extends Fault["kind"]>(
    kind: K,
    tenants: readonly string[],
    applies?: (fault: Extract<Fault, { kind: K }>) => boolean,
  ): Extract<Fault, { kind: K }> | null;
}

/** Reads faults as they come over HTTP. */
export function parseFaults(
  raw: unknown,
): { kind: "faults"; faults: Fault[] } | { kind: "invalid"; problems: string } {
  const parsed = faultOrFaults.safeParse(raw);
  return parsed.success
    ? { kind: "faults", faults: parsed.data }
    : { kind: "invalid", problems: z.prettifyError(parsed.error) };
}

export function createFaults({ revokeTokens }: { revokeTokens: () => void }): Faults & Strikes {
  let entries: { fault: Fault; strikes: number; setAtMs: number }[] = [];

  function set(given: FaultInput | FaultInput[]): void {
    const setAtMs = performance.now();
    entries = faultOrFaults.parse(given).map((each) => ({ fault: each, strikes: 0, setAtMs }));
    for (const entry of entries) {
      if (entry.fault.kind !== "token_revoked") continue;
      revokeTokens();
      entry.strikes = 1;
    }
  }

  function isActive({ fault, strikes, setAtMs }: (typeof entries)[number]): boolean {
    if (fault.kind === "token_revoked") return false;
    if (fault.kind === "clock_off") return true;
    if (fault.times !== undefined && strikes >= fault.times) return false;
    return fault.forMs === undefined || performance.now() < setAtMs + fault.forMs;
  }

  function strike<K extends Fault["kind"]>(
    kind: K,
    tenants: readonly string[],
    applies?: (fault: Extract<Fault, { kind: K }>) => boolean,
  ): Extract<Fault, { kind: K }> | null {
    for (const entry of entries) {
      const { fault } = entry;
      if (!isKind(fault, kind) || !isActive(entry)) continue;
      if ("tenant" in fault && fault.tenant !== undefined && !tenants.includes(fault.tenant)) continue;
      if (applies !== undefined && !applies(fault)) continue;
      entry.strikes += 1;
      return fault;
    }
    return null;
  }

  return {
    set,
    strike,
    clear: () => {
      entries = [];
    },
    list: () =>
      entries.map((entry) => ({ fault: entry.fault, strikes: entry.strikes, active: isActive(entry) })),
  };
}

export function matches({ unitId, externalId }: Match, ping: SandboxPing): boolean {
  return (
    (unitId === undefined || unitId === ping.unitId) &&
    (externalId === undefined || externalId === ping.externalId)
  );
}

function isKind<K extends Fault["kind"]>(fault: Fault, kind: K): fault is Extract<Fault, { kind: K }> {
  return fault.kind === kind;
}
