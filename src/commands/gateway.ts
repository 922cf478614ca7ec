/** Requests to the ops endpoint of the running gateway, whose configuration the command shares. */

import { fetch, type Response } from "undici";
import type { Config } from "../config/config.ts";

/** GET, or POST where there is a `body`. Throws what to do when the gateway does not answer. */
export async function requestOps(
  { host, port }: Config["ops"],
  token: string,
  path: string,
  body?: object,
): Promise<Response> {
  const url = `http://${reachable(host)}:${port}${path}`;
  const authorization = `Bearer ${token}`;
  const request =
    body === undefined
      ? { headers: { authorization } }
      : {
          method: "POST",
          headers: { authorization, "content-type": "application/json" },
          body: JSON.stringify(body),
        };
  return fetch(url, request).catch((cause: unknown) => {
    throw new Error(`The gateway does not answer at ${url}: is it running with this configuration?`, {
      cause,
    });
  });
}

/** Some addresses to listen on are none to connect to. */
export function reachable(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
}
