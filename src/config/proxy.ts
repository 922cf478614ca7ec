/** Reads the proxy variables that every Unix program honours. */

import type { ConfigProblem } from "./problems.ts";
import type { Environment } from "./references.ts";
import { hideUrlSecrets } from "./values.ts";

/** With the names of undici's EnvHttpProxyAgent. A key is absent where the environment does not set it. */
export interface ProxySettings {
  httpProxy?: string;
  httpsProxy?: string;
  noProxy?: string;
}

export function readProxySettings(env: Environment): { proxy: ProxySettings; problems: ConfigProblem[] } {
  const proxy: ProxySettings = {};
  const problems: ConfigProblem[] = [];
  for (const [key, name] of [
    ["httpProxy", "HTTP_PROXY"],
    ["httpsProxy", "HTTPS_PROXY"],
    ["noProxy", "NO_PROXY"],
  ] as const) {
    // Lower case wins, as in curl.
    const text = env[name.toLowerCase()] || env[name];
    if (!text) continue;
    proxy[key] = text;
    if (key !== "noProxy" && !isHttpUrl(text)) {
      problems.push({ path: name, message: "must be an http:// or https:// URL" });
    }
  }
  return { proxy, problems };
}

export function hideProxySecrets({ httpProxy, httpsProxy, noProxy }: ProxySettings): ProxySettings {
  return {
    ...(httpProxy === undefined ? {} : { httpProxy: hideUrlSecrets(httpProxy) }),
    ...(httpsProxy === undefined ? {} : { httpsProxy: hideUrlSecrets(httpsProxy) }),
    ...(noProxy === undefined ? {} : { noProxy }),
  };
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
