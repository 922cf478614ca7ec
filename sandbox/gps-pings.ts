/** Decides the answer to one POST of gps-pings: gateway checks first, then the schema, with the faults in between. */

import { randomBytes } from "node:crypto";
import { type Faults, matches, type Strikes } from "./faults.ts";
import type { Recorder, RequestRecord } from "./recorder.ts";
import { checkBody, type SandboxPing, type SchemaErrors } from "./schema.ts";
import { GPS_PINGS_SCOPE, type SandboxClient, type Tokens } from "./tokens.ts";

/** What a request looks like to the decision, free of HTTP machinery. */
export interface PingsRequest {
  tenant: string;
  provider: string;
  arrivedAtMs: number;
  header(name: string): string | undefined;
  body(): Promise<Uint8Array>;
}

/** What the sender gets: an answer, one in two halves, or none. */
export type PingsAnswer =
  | { kind: "answer"; status: number; body: string; headers: Record<string, string> }
  | { kind: "slow"; body: string; seconds: number }
  | { kind: "hang" }
  | { kind: "reset" };

export interface PingsDeps {
  tokens: Tokens;
  faults: Faults & Strikes;
  recorder: Recorder;
  ratePerSecond: number;
  unknownProviderStatus: ProviderStatus;
}

type ProviderStatus = 400 | 403 | 404;

/** The text of the real gateway, for a wrong tenant as well as for a wrong path. */
export const NO_OPERATION = "Unable to match incoming request to an operation.";

export function createGpsPings({
  tokens,
  faults,
  recorder,
  ratePerSecond,
  unknownProviderStatus,
}: PingsDeps) {
  /** Requests let through in the last second, by app and tenant. */
  const letThrough = new Map<string, number[]>();

  /** Answers one request and records it. */
  async function answer(request: PingsRequest): Promise<PingsAnswer> {
    const record = recorder.open(request.arrivedAtMs, request.tenant, request.provider);
    const outcome = await decide(request, record);
    if (outcome.kind === "answer") recorder.close(record, outcome.status);
    else recorder.close(record, outcome.kind === "slow" ? 200 : 0);
    return outcome;
  }

  async function decide(request: PingsRequest, record: RequestRecord): Promise<PingsAnswer> {
    const reach = [request.tenant];
    const early = (fault: { when: string }) => fault.when === "before_accepting";
    if (faults.strike("reset", reach, early)) return { kind: "reset" };
    if (faults.strike("hang", reach, early)) return { kind: "hang" };
    const body = await request.body();
    record.bytes = body.length;
    const broken = faults.strike("status", reach);
    if (broken) {
      const headers =
        broken.retryAfterS === undefined ? undefined : { "retry-after": String(broken.retryAfterS) };
      return gateway(broken.status, "The service is not able to answer.", headers);
    }
    const refusal = authorize(request) ?? throttle(request) ?? checkAddress(request, body.length);
    if (refusal) return refusal;
    const checked = checkBody(new TextDecoder().decode(body));
    if (checked.kind === "invalid") return badRequest(checked.errors);
    record.pings = checked.pings.length;
    return accept(request, record, checked.pings);
  }

  function authorize(request: PingsRequest): PingsAnswer | null {
    const reach = [request.tenant];
    const [scheme, token = ""] = (request.header("authorization") ?? "").split(" ");
    const client = scheme?.toLowerCase() === "bearer" ? tokens.holder(token) : null;
    if (client === null) return gateway(401, "Access token is missing, expired or invalid.");
    const knowsApp = request.header("st-app-key") === client.appKey;
    if (!knowsApp || faults.strike("app_key_wrong", reach)) {
      return gateway(401, "Access denied due to a missing or invalid ST-App-Key.");
    }
    const isTheirs = client.tenants.includes(request.tenant);
    if (!isTheirs || faults.strike("tenant_unknown", reach)) return gateway(404, NO_OPERATION);
    const hasScope = (client.scopes ?? [GPS_PINGS_SCOPE]).includes(GPS_PINGS_SCOPE);
    if (!hasScope || faults.strike("scope_missing", reach)) {
      return gateway(403, `The app does not have the scope ${GPS_PINGS_SCOPE}.`);
    }
    if (faults.strike("version_refused", reach)) {
      return gateway(403, "The app's newest version is not accepted by this tenant.");
    }
    return refuseProvider(client, request);
  }

  function refuseProvider(client: SandboxClient, { provider, tenant }: PingsRequest): PingsAnswer | null {
    const unconnected = faults.strike("provider_not_connected", [tenant]);
    if (unconnected) return unknownProvider(client, provider, unconnected.status);
    if (!client.providers.includes(provider)) return unknownProvider(client, provider, unknownProviderStatus);
    const inactive = faults.strike("provider_inactive", [tenant]);
    if (!inactive) return null;
    return refusal(inactive.status, `The GPS provider ${provider} is not activated for this tenant.`);
  }

  /** What the real service answers is unknown, so the status is a setting. */
  function unknownProvider(
    { clientId }: SandboxClient,
    provider: string,
    status: ProviderStatus,
  ): PingsAnswer {
    return refusal(status, `The app ${clientId} is not connected to the GPS provider ${provider}.`);
  }

  function refusal(status: ProviderStatus, message: string): PingsAnswer {
    return status === 400 ? badRequest({ gps_provider: [message] }) : gateway(status, message);
  }

  function throttle(request: PingsRequest): PingsAnswer | null {
    const fault = faults.strike("throttle", [request.tenant]);
    if (fault) {
      const tryAgain = `Rate limit is exceeded. Try again in ${fault.seconds} seconds.`;
      const until = new Date(Date.now() + fault.seconds * 1000).toUTCString();
      switch (fault.hint) {
        case "seconds":
          return gateway(429, "Rate limit is exceeded.", { "retry-after": String(fault.seconds) });
        case "date":
          return gateway(429, "Rate limit is exceeded.", { "retry-after": until });
        case "body":
          return gateway(429, tryAgain);
        case "none":
          return gateway(429, "Rate limit is exceeded.");
        default:
          return fault.hint satisfies never;
      }
    }
    const scope = `${request.header("st-app-key")}/${request.tenant}`;
    const since = request.arrivedAtMs - 1000;
    const recent = (letThrough.get(scope) ?? []).filter((arrivedAtMs) => arrivedAtMs > since);
    letThrough.set(scope, recent);
    if (recent.length >= ratePerSecond) {
      return gateway(429, "Rate limit is exceeded. Try again in 1 seconds.", { "retry-after": "1" });
    }
    recent.push(request.arrivedAtMs);
    return null;
  }

  function checkAddress(request: PingsRequest, bytes: number): PingsAnswer | null {
    const type = (request.header("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
    const encoding = request.header("content-encoding") ?? "identity";
    if (type !== "application/json" || encoding !== "identity") return gateway(415, "Unsupported Media Type");
    const tooLarge = faults.strike("byte_cap", [request.tenant], (fault) => bytes > fault.bytes);
    return tooLarge ? gateway(413, "Request body is too large.") : null;
  }

  function accept(request: PingsRequest, record: RequestRecord, pings: SandboxPing[]): PingsAnswer {
    const reach = [request.tenant];
    const poison = faults.strike("poison", reach, ({ match }) => pings.some((ping) => matches(match, ping)));
    if (poison) {
      const index = pings.findIndex((ping) => matches(poison.match, ping));
      return badRequest({ [`[${index}]`]: ["The ping could not be processed."] });
    }
    const fail = faults.strike("fail", reach, ({ match }) => pings.some((ping) => matches(match, ping)));
    const omit = faults.strike("omit", reach, ({ match }) => pings.some((ping) => matches(match, ping)));
    const failed = pings.filter((ping) => fail !== null && matches(fail.match, ping));
    const omitted = pings.filter(
      (ping) => omit !== null && matches(omit.match, ping) && !failed.includes(ping),
    );
    const accepted = pings.filter((ping) => !failed.includes(ping) && !omitted.includes(ping));
    recorder.accept(record, accepted);
    recorder.fail(failed.length + omitted.length);

    if (faults.strike("reset", reach)) return { kind: "reset" };
    if (faults.strike("hang", reach)) return { kind: "hang" };
    if (faults.strike("unreadable", reach)) return ok('[{"externalId": "');
    const items = [
      ...accepted.map(({ externalId }) => ({ externalId, status: "Success", message: "" })),
      ...failed.map(({ externalId }) => ({ externalId, status: "Fail", message: fail?.message ?? "" })),
    ];
    // The documentation promises no order of the answer, so a client that relies on one must fail here.
    const body = JSON.stringify(items.reverse());
    const slow = faults.strike("slow_body", reach);
    return slow ? { kind: "slow", body, seconds: slow.seconds } : ok(body);
  }

  return { answer };
}

const JSON_TYPE = "application/json; charset=utf-8";

function ok(body: string): PingsAnswer {
  return { kind: "answer", status: 200, body, headers: { "content-type": JSON_TYPE } };
}

/** The shape in which the gateway in front of the service refuses. */
function gateway(statusCode: number, message: string, headers: Record<string, string> = {}): PingsAnswer {
  const body = JSON.stringify({ statusCode, message });
  return { kind: "answer", status: statusCode, body, headers: { "content-type": JSON_TYPE, ...headers } };
}

/** The shape in which the service itself refuses: `ApiErrorResponse`. */
function badRequest(errors: SchemaErrors): PingsAnswer {
  const body = JSON.stringify({
    type: "https://tools.ietf.org/html/rfc7231#section-6.5.1",
    title: "One or more validation errors occurred.",
    status: 400,
    traceId: `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-00`,
    errors,
    data: {},
  });
  return { kind: "answer", status: 400, body, headers: { "content-type": "application/problem+json" } };
}
