/** Finds what a configuration exposes: passwords on public networks, address ranges that match everybody, ports without TLS. */

import { parseRange } from "../addresses.ts";
import { isConfidential, isPrivateHost } from "./address.ts";
import type { Report } from "./check-sources.ts";
import type { SettingPath } from "./problems.ts";
import type { ProxySettings } from "./proxy.ts";
import type { ValidSettings } from "./valid-settings.ts";

/** Exposures that are refused unless allowed on purpose. */
export function checkExposure(valid: ValidSettings, report: Report): void {
  checkTransports(valid, report);
  for (const [index, range] of (valid.http?.trustedProxies ?? []).entries())
    checkRange(["http", "trustedProxies", index], range, report);
  for (const [name, { auth }] of valid.sources) {
    for (const [index, range] of (auth?.allow ?? []).entries())
      checkRange(["sources", name, "auth", "allow", index], range, report);
  }
}

function checkTransports({ brokers, redis }: ValidSettings, report: Report): void {
  const open = "crosses a public network in the clear";
  for (const [name, { url: text, password, rejectUnauthorized }] of brokers) {
    const at = ["mqtt", "brokers", name];
    const url = new URL(text);
    if (password === undefined && url.password === "") continue;
    if (!isConfidential(url)) {
      report([...at, "url"], `must be mqtts:// or wss://: the password ${open}`);
    } else if (!rejectUnauthorized && !isPrivateHost(url.hostname)) {
      report(
        [...at, "rejectUnauthorized"],
        "must be true: the password would be sent to any server; name its ca",
      );
    }
  }
  if (redis === undefined) return;
  const url = new URL(redis.url);
  const hasPassword = url.password !== "" || url.searchParams.has("password");
  if (hasPassword && !isConfidential(url))
    report(["redis", "url"], `must be rediss://: the password ${open}`);
}

/** The largest block that one party owns is a /8 of IPv4 and a /16 of IPv6; private ranges are allowed. */
function checkRange(path: SettingPath, text: string, report: Report): void {
  const range = parseRange(text);
  // The schema has reported that it is no range.
  if (range === null) return;
  const [address, bits] = range;
  const isIpv6 = address.kind() === "ipv6";
  const isPrivate = isIpv6 && ["uniqueLocal", "linkLocal"].includes(address.range()) && bits >= 7;
  const tooWide = bits < (isIpv6 ? 16 : 8);
  if (tooWide && !isPrivate) report(path, "is so wide that it means everybody: name the sender's own range");
}

/** Exposures that are warned of and not refused. */
export function findOpenPorts(
  { http, ops, listen }: ValidSettings,
  proxy: ProxySettings,
  warn: Report,
): void {
  const plain = "without TLS where other machines reach it: what passes can be read on the way";
  if (http && !http.tls && http.trustedProxies.length === 0 && !isPrivateHost(http.host)) {
    const instead = "give http.tls, or put a TLS proxy before it and name that in http.trustedProxies";
    warn(["http", "host"], `listens ${plain}; ${instead}`);
  }
  if (listen && !listen.tls && !isPrivateHost(listen.host)) {
    warn(["mqtt", "listen", "host"], `listens ${plain}, devices' passwords among it; give mqtt.listen.tls`);
  }
  if (ops && !isPrivateHost(ops.host)) {
    warn(
      ["ops", "host"],
      `listens ${plain}, the ops token among it; use 127.0.0.1, or let only a TLS proxy reach it`,
    );
  }
  for (const [key, name] of [
    ["httpProxy", "HTTP_PROXY"],
    ["httpsProxy", "HTTPS_PROXY"],
  ] as const) {
    const text = proxy[key];
    if (text === undefined || !URL.canParse(text)) continue;
    const url = new URL(text);
    if (url.password !== "" && !isConfidential(url))
      warn([name], "sends its password over a public network in the clear; use https:// to the proxy");
  }
}
