/** Whether a host can be reached, and what keeps it away: DNS, TLS, the proxy, or the network; and whose clock is off. */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type ProxySettings, proxyFor } from "../network.ts";
import type { Exchanged, Http } from "../servicetitan/exchange.ts";
import { type Checked, notAsked, notWell, type Surroundings, skewInWords, well } from "./check.ts";
import { type Finding, finding } from "./findings.ts";

export interface Host {
  isReached: boolean;
  checks: readonly Checked[];
}

/** Any answer will do: nothing is asked for, and no credential is sent. */
export async function askHost(
  url: string,
  http: Http,
  { proxy, stepMs, now }: Pick<Surroundings, "proxy" | "stepMs" | "now">,
): Promise<Host> {
  const { origin, host } = new URL(url);
  const via = proxyFor(origin, proxy);
  // The proxy looks the host's name up.
  const unknown = await whyUnknown(new URL(via ?? origin).hostname, stepMs);
  if (unknown !== null) return unreached(unknown);
  const exchanged = await http.exchange({ method: "GET", origin, path: "/", headers: {}, timeoutMs: stepMs });
  const failure = failureOf(exchanged, origin, proxy);
  if (failure !== null) return unreached(failure);
  const date = exchanged.kind === "answered" ? Date.parse(String(exchanged.answer.headers.date)) : Number.NaN;
  const ms = Math.round(exchanged.tookMs);
  return {
    isReached: true,
    checks: [
      well("reachable", `answers in ${ms} ms${via === null ? "" : `, by way of the proxy ${hostOf(via)}`}`),
      clockCheck(now() - exchanged.tookMs / 2 - date, host),
    ],
  };
}

function unreached(failure: Finding): Host {
  return {
    isReached: false,
    checks: [notWell("reachable", failure), notAsked("clock", "the host is not reached")],
  };
}

function clockCheck(aheadMs: number, host: string): Checked {
  if (Number.isNaN(aheadMs)) return notAsked("clock", "the answer has no Date");
  const offset = skewInWords(aheadMs);
  return offset === null
    ? well("clock", "agrees with this machine's")
    : notWell("clock", finding("clock_off", { offset, host }));
}

/** The system's resolver may take longer than anybody waits; null where the name is known. */
export async function whyUnknown(name: string, withinMs: number): Promise<Finding | null> {
  const host = name.replaceAll(/[[\]]/g, "");
  if (isIP(host)) return null;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, withinMs, "no answer of the resolver");
  });
  const looked = lookup(host).then(
    () => null,
    (error: NodeJS.ErrnoException) => error.code ?? "unknown",
  );
  const code = await Promise.race([late, looked]);
  clearTimeout(timer);
  return code === null ? null : finding("dns_failed", { host, code });
}

/** What kept an answer away; null where there is one. */
export function failureOf(exchanged: Exchanged, origin: string, proxy: ProxySettings): Finding | null {
  if (exchanged.kind === "answered") return null;
  const { reason, code } = exchanged;
  const { host, hostname } = new URL(origin);
  const via = proxyFor(origin, proxy);
  if (reason === "tls_error") return finding("tls_failed", { host, code });
  if (via !== null) return finding("proxy_failed", { proxy: hostOf(via), host, code });
  if (reason === "dns_error") return finding("dns_failed", { host: hostname, code });
  return finding("host_unreachable", { host, code: code === "deadline" ? "no answer in time" : code });
}

/** Never with the user and password that stand in it. */
function hostOf(url: string): string {
  return new URL(url).host;
}
