/** What a refusal of ServiceTitan's means: one cause where the token or its words name it, else every cause there can be. */

import { type Claims, PINGS_SCOPE } from "../servicetitan/claims.ts";
import { servicetitanUrls, type Target } from "../servicetitan/client.ts";
import { type Finding, finding } from "./findings.ts";

/** An answer other than 2xx to an authorised request. */
export interface Refusal {
  status: number;
  /** Status and ServiceTitan's own words, without credentials. */
  words: string;
}

interface Cause {
  statuses: readonly number[];
  /** How an answer's words give the cause away. */
  named: RegExp;
  means: string;
  /** What the token says speaks against it. */
  isRuledOut?(claims: Claims): boolean;
  finding(words: string, target: Target): Finding;
}

/** Which answer a cause has is documented for none of them; integrators report these statuses. */
const CAUSES: readonly Cause[] = [
  {
    statuses: [401],
    named: /app(lication)?[ -]?key|subscription key/i,
    means: "the app key is wrong",
    finding: (words) => finding("app_key_wrong", { words }),
  },
  {
    statuses: [401],
    named: /environment|issuer/i,
    means: "the credentials are of another environment",
    finding: (words, { apiUrl }) => {
      const environment = environmentOf(new URL(apiUrl).host) ?? "that of apiUrl";
      const other = environment === "production" ? "integration" : "another environment";
      return finding("wrong_environment", { environment, other, words });
    },
  },
  {
    statuses: [403],
    named: /scope/i,
    means: `the app lacks the scope ${PINGS_SCOPE}`,
    isRuledOut: ({ scopes }) => scopes?.includes(PINGS_SCOPE) ?? false,
    finding: (words) => finding("scope_missing", { words }),
  },
  {
    statuses: [403],
    named: /version/i,
    means: "the tenant's admin has not accepted the app's newest version",
    finding: (words) => finding("version_refused", { words }),
  },
  {
    statuses: [404],
    // Their gateway's words for a wrong tenant, a wrong address and a wrong app.
    named:
      /match incoming request to an operation|tenant.*(unknown|not known|not found|not connected|invalid)/i,
    means: "the tenant is not connected to the app in this environment, or apiUrl is wrong",
    finding: (words, { tenant }) => finding("tenant_unknown", { tenant, words }),
  },
  {
    statuses: [400, 403, 404],
    named: /provider.*(connect|unknown|not known|not found|invalid)|(connect|unknown|invalid).*provider/i,
    means: "the provider's name is wrong, or it was not chosen at Connect App",
    finding: (words, { provider }) => finding("provider_not_connected", { provider, words }),
  },
  {
    statuses: [400, 403, 404],
    named: /provider.*activ|activ.*provider/i,
    means: "the provider is not activated",
    finding: (words, { provider }) => finding("provider_inactive", { provider, words }),
  },
];

/** Null where a 400 says nothing of these: a request without pings may be refused for just that. */
export function explain({ status, words }: Refusal, target: Target, claims: Claims): Finding | null {
  const certain = fromClaims(status, words, target, claims);
  if (certain !== null) return certain;
  const possible = CAUSES.filter((cause) => cause.statuses.includes(status) && !cause.isRuledOut?.(claims));
  const named = possible.filter((cause) => cause.named.test(words));
  const [only, ...others] = named;
  if (only !== undefined && others.length === 0) return only.finding(words, target);
  if (status === 400 && named.length === 0) return null;
  const left = named.length > 0 ? named : possible;
  const causes = left.map(({ means }) => means).join("; ") || "something this version does not know";
  const steps = left.map((cause) => cause.finding(words, target).remedy).join(" ") || "ask ServiceTitan.";
  return finding("call_refused", { words, causes, steps });
}

function fromClaims(status: number, words: string, target: Target, claims: Claims): Finding | null {
  const { tenant, apiUrl } = target;
  if (claims.tenant !== null && claims.tenant !== tenant)
    return finding("wrong_client", { theirs: claims.tenant, tenant, words });
  if (claims.scopes !== null && !claims.scopes.includes(PINGS_SCOPE))
    return finding("scope_missing", { words });
  const [theirs, ours] = [environmentOf(claims.issuer), environmentOf(new URL(apiUrl).host)];
  return status === 401 && theirs !== null && ours !== null && theirs !== ours
    ? finding("wrong_environment", { environment: ours, other: theirs, words })
    : null;
}

function environmentOf(host: string | null): "production" | "integration" | null {
  for (const environment of ["production", "integration"] as const) {
    const { apiUrl, authUrl } = servicetitanUrls(environment);
    if ([apiUrl, authUrl].some((url) => new URL(url).host === host)) return environment;
  }
  return null;
}
