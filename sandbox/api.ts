/** A stand-in for ServiceTitan's Dispatch API, written from its documentation only, as strict as its schema. */

import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Context, Hono } from "hono";
import { z } from "zod";
import { createFaults, type Faults, parseFaults } from "./faults.ts";
import { createGpsPings, NO_OPERATION, type PingsAnswer } from "./gps-pings.ts";
import { MAP_PAGE } from "./map-page.ts";
import { createRecorder, type Recorder, type RecordMode } from "./recorder.ts";
import { createTokens, type SandboxClient, type TokenError } from "./tokens.ts";

/** The client that is registered when none is given. */
export const SANDBOX_CLIENT = {
  clientId: "sandbox-client",
  clientSecret: "sandbox-client-secret",
  appKey: "sandbox-app-key",
  tenants: ["1000001"],
  providers: ["waypost"],
} as const satisfies SandboxClient;

/** The destination that delivers to this stand-in, as a configuration has it. */
export function destinationAt({ url, authUrl }: { url: string; authUrl: string }) {
  const { clientId, clientSecret, appKey, tenants, providers } = SANDBOX_CLIENT;
  return {
    environment: "custom",
    apiUrl: url,
    authUrl,
    tenant: tenants[0],
    provider: providers[0],
    appKey,
    clientId,
    clientSecret,
  };
}

export interface SandboxApiOptions {
  /** 0: any free port. */
  port?: number;
  host?: string;
  /** Requests per second, app and tenant; ServiceTitan's documented limit is 60. */
  ratePerSecond?: number;
  /** Lifetime of a token in seconds; documented as 900. */
  tokenTtlS?: number;
  clients?: readonly SandboxClient[];
  /** The answer to a provider the app is not connected to; undocumented, so it can be chosen. */
  unknownProviderStatus?: 400 | 403 | 404;
  record: RecordMode;
}

export interface SandboxApi extends Pick<Recorder, "pings" | "requests" | "units" | "summary" | "clear"> {
  /** Base of the Dispatch API, and of the token endpoint: both end where `/dispatch` and `/connect` begin. */
  url: string;
  authUrl: string;
  port: number;
  faults: Faults;
  stop(): Promise<void>;
}

type Env = { Bindings: HttpBindings };

export async function startSandboxApi(options: SandboxApiOptions): Promise<SandboxApi> {
  const { host = "127.0.0.1", ratePerSecond = 60, tokenTtlS = 900, unknownProviderStatus = 404 } = options;
  const clients = options.clients ?? [SANDBOX_CLIENT];
  const tokens = createTokens(clients, tokenTtlS);
  const faults = createFaults({ revokeTokens: tokens.revokeAll });
  const recorder = createRecorder(options.record);
  const gpsPings = createGpsPings({ tokens, faults, recorder, ratePerSecond, unknownProviderStatus });
  const arrivals = new WeakMap<IncomingMessage, number>();

  const app = new Hono<Env>();
  app.notFound((c) => c.json({ statusCode: 404, message: NO_OPERATION }, 404));

  app.use(async (c, next) => {
    await next();
    const off = faults.strike("clock_off", []);
    if (off) c.header("date", new Date(Date.now() + off.seconds * 1000).toUTCString());
  });

  app.post("/connect/token", async (c) => {
    const form = new URLSearchParams(await c.req.text());
    const tenants = clients.find((client) => client.clientId === form.get("client_id"))?.tenants ?? [];
    const down = faults.strike("token_down", tenants);
    if (down) return new Response("The service is unavailable.", { status: down.status });
    const type = (c.req.header("content-type") ?? "").split(";")[0]?.trim();
    if (type !== "application/x-www-form-urlencoded") return tokenError(c, "invalid_request");
    if (faults.strike("wrong_environment", tenants)) return tokenError(c, "invalid_client");
    const result = tokens.request(form, faults.strike("scope_missing", tenants) ? [] : undefined);
    if (result.kind === "refused") return tokenError(c, result.error);
    recorder.tokenIssued();
    return c.json(result.answer, 200, { "cache-control": "no-store" });
  });

  // The tenant is an int64 in the official path; another word there matches no operation.
  app.post("/dispatch/v2/tenant/:tenant{[0-9]+}/gps-provider/:provider/gps-pings", async (c) => {
    const answer = await gpsPings.answer({
      tenant: c.req.param("tenant"),
      provider: c.req.param("provider"),
      arrivedAtMs: arrivals.get(c.env.incoming) ?? performance.now(),
      header: (name) => c.req.header(name),
      body: async () => new Uint8Array(await c.req.arrayBuffer()),
    });
    return respond(c, answer);
  });

  addReadBack(app, recorder, faults);

  const listener = getRequestListener(app.fetch);
  const server = createServer((incoming, outgoing) => {
    // Before any other work, so that the recorded moment is the arrival and not the end of a wait in this process.
    arrivals.set(incoming, performance.now());
    void listener(incoming, outgoing);
  });
  server.listen(options.port ?? 0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;

  async function stop(): Promise<void> {
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  }

  const { pings, requests, units, summary, clear } = recorder;
  const { set, list, clear: clearFaults } = faults;
  return {
    url,
    authUrl: url,
    port,
    faults: { set, list, clear: clearFaults },
    pings,
    requests,
    units,
    summary,
    clear,
    stop,
  };
}

function tokenError(c: Context<Env>, error: TokenError): Response {
  return c.json({ error }, 400);
}

async function respond(c: Context<Env>, answer: PingsAnswer): Promise<Response> {
  const { incoming, outgoing } = c.env;
  switch (answer.kind) {
    case "answer":
      return new Response(answer.body, { status: answer.status, headers: answer.headers });
    case "slow":
      return new Response(inHalves(answer.body, answer.seconds), {
        headers: { "content-type": "application/json" },
      });
    case "reset":
      incoming.socket.resetAndDestroy();
      return RESPONSE_ALREADY_SENT;
    case "hang":
      await once(outgoing, "close");
      return RESPONSE_ALREADY_SENT;
    default:
      return answer satisfies never;
  }
}

function inHalves(text: string, secondsBetween: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  const middle = Math.floor(bytes.length / 2);
  let timer: NodeJS.Timeout | undefined;
  return new ReadableStream<Uint8Array>({
    start(stream) {
      stream.enqueue(bytes.subarray(0, middle));
      timer = setTimeout(() => {
        stream.enqueue(bytes.subarray(middle));
        stream.close();
      }, secondsBetween * 1000);
    },
    cancel: () => clearTimeout(timer),
  });
}

const count = z.string().regex(/^\d+$/).transform(Number).optional();
const readBackQuery = z.object({
  unitId: z.string().optional(),
  tenant: z.string().optional(),
  from: count,
  limit: count,
});

/** What only a stand-in has: read-back of what it accepted, and its faults. Not part of ServiceTitan's API. */
function addReadBack(app: Hono<Env>, recorder: Recorder, faults: Faults): void {
  app.get("/", (c) => c.html(MAP_PAGE));
  app.get("/_sandbox/summary", (c) => c.json(recorder.summary()));
  app.get("/_sandbox/units", (c) => c.json({ now: Date.now(), units: recorder.units() }));
  app.get("/_sandbox/pings", (c) => {
    const query = readBackQuery.safeParse(c.req.query());
    if (!query.success) return c.json({ problems: z.prettifyError(query.error) }, 400);
    return c.json({ pings: recorder.pings(query.data) });
  });
  app.get("/_sandbox/requests", (c) => {
    const query = readBackQuery.safeParse(c.req.query());
    if (!query.success) return c.json({ problems: z.prettifyError(query.error) }, 400);
    const { maxPerSecond, statuses, tenants } = recorder.summary();
    return c.json({ maxPerSecond, statuses, tenants, requests: recorder.requests(query.data) });
  });
  app.get("/_sandbox/faults", (c) => c.json(faults.list()));
  app.post("/_sandbox/faults", async (c) => {
    const parsed = parseFaults(await c.req.json().catch(() => null));
    if (parsed.kind === "invalid") return c.json({ problems: parsed.problems }, 400);
    faults.set(parsed.faults);
    return c.json(faults.list());
  });
  app.delete("/_sandbox/faults", (c) => {
    faults.clear();
    return c.json(faults.list());
  });
  /** Forgets pings, requests and counts; tokens and faults stay. */
  const forget = (c: Context<Env>) => {
    recorder.clear();
    return c.json(recorder.summary());
  };
  app.delete("/_sandbox/pings", forget);
  app.delete("/_sandbox/requests", forget);
  app.delete("/_sandbox/summary", forget);
}
