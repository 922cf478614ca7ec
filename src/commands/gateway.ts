/** Requests to the API of the running gateway, whose configuration the command shares. */

import { fetch, type Response } from "undici";
import type { Config } from "../config/config.ts";

/** GET, or POST where there is a `body`; `path` is below /api/v1. Throws what to do when the gateway does not answer. */
export async function requestApi(
  { host, port }: Config["ops"],
  token: string,
  path: string,
  body?: object,
): Promise<Response> {
  const url = `http://${reachable(host)}:${port}/api/v1${path}`;
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

/** Why the gateway refused, in its own words where it gave any. */
export function refusalOf({ status }: Pick<Response, "status">, text: string): string {
  const words = detailIn(text) ?? text.slice(0, MAX_SHOWN);
  return `The gateway answered ${status}: ${words}`;
}

/** What answers may be something else than the gateway. */
const MAX_SHOWN = 500;

function detailIn(text: string): string | null {
  try {
    const body: unknown = JSON.parse(text);
    const isError = typeof body === "object" && body !== null && "detail" in body;
    return isError && typeof body.detail === "string" ? body.detail : null;
  } catch {
    return null;
  }
}

/** Some addresses to listen on are none to connect to. */
export function reachable(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
}
