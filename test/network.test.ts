/** Which requests go through a proxy, by the variables that every Unix program honours. */

import { expect, test } from "vitest";
import { proxyFor } from "../src/network.ts";

const BOTH = { httpProxy: "http://plain:3128", httpsProxy: "http://tls:3128", noProxy: "" };

test.each([
  ["https://api.servicetitan.io", BOTH, "http://tls:3128"],
  ["http://10.0.0.7:8090", BOTH, "http://plain:3128"],
  ["https://api.servicetitan.io", { ...BOTH, httpsProxy: null }, "http://plain:3128"],
  ["http://10.0.0.7", { ...BOTH, httpProxy: null }, null],
  ["https://api.servicetitan.io", { ...BOTH, noProxy: "*" }, null],
  ["https://api.servicetitan.io", { ...BOTH, noProxy: "servicetitan.io" }, null],
  ["https://api.servicetitan.io", { ...BOTH, noProxy: "other, .ServiceTitan.io" }, null],
  ["https://api.servicetitan.io", { ...BOTH, noProxy: "titan.io" }, "http://tls:3128"],
  ["https://api.servicetitan.io", { ...BOTH, noProxy: "api.servicetitan.io:8443" }, "http://tls:3128"],
  ["https://api.servicetitan.io", { ...BOTH, noProxy: "api.servicetitan.io:443" }, null],
])("%s by %o goes through %s", (origin, settings, proxy) => {
  expect(proxyFor(origin, settings)).toBe(proxy);
});
