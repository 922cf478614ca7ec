/** A stand-in for Geotab's MyGeotab API, written from its documentation: sessions, versions, and errors that come with 200. */

import { randomUUID } from "node:crypto";
import {
  type PolledVendor,
  startPolledVendor,
  type VendorAnswer,
  type VendorRequest,
} from "./polled-vendor.ts";

export const GEOTAB_ACCOUNT = { username: "svc@acme.example", database: "acme", secret: "geotab-password" };

export interface LogRecord {
  device: string;
  dateTime: string;
  latitude: number;
  longitude: number;
  speed: number | string;
}

export interface Geotab extends PolledVendor {
  record(...records: LogRecord[]): void;
  name(device: string, name: string): void;
  /** As after 14 days, or when a hundred others have logged in. */
  endSessions(): void;
  /** Method and type of each call, such as `GetFeed LogRecord`. */
  calls(): string[];
}

interface Call {
  method: string;
  params: {
    typeName?: string;
    fromVersion?: string;
    search?: { fromDate?: string };
    resultsLimit?: number;
    sort?: { offset?: string };
    credentials?: { database: string; userName: string; sessionId: string };
    userName?: string;
    password?: string;
    database?: string;
  };
}

export interface GeotabOptions {
  /** What a login is answered with: the host to go on with. */
  path?: string;
  /** The account's clearance. */
  mayList?: "devices" | "nothing";
}

/** `Get` returns at most this many rows, whatever the request asks for. */
const GET_ROWS = 5000;

export async function startGeotab({
  path = "ThisServer",
  mayList = "devices",
}: GeotabOptions = {}): Promise<Geotab> {
  const log: LogRecord[] = [];
  const names = new Map<string, string>();
  const sessions = new Set<string>();

  function answer({ method, path: asked, body }: VendorRequest): VendorAnswer {
    if (method !== "POST" || asked !== "/apiv1") return { status: 404, body: "<html>nothing here</html>" };
    const call: Call = JSON.parse(body);
    if (call.method === "Authenticate") return login(call.params);
    const { credentials, typeName } = call.params;
    if (!sessions.has(credentials?.sessionId ?? "")) return geotabError("InvalidUserException");
    if (call.method === "Get" && typeName === "Device") return devices(call.params);
    if (call.method === "GetFeed" && typeName === "LogRecord") return feed(call.params);
    return geotabError("MissingMethodException");
  }

  function login({ userName, password, database }: Call["params"]): VendorAnswer {
    const right = userName === GEOTAB_ACCOUNT.username && password === GEOTAB_ACCOUNT.secret;
    if (!right || database !== GEOTAB_ACCOUNT.database) return geotabError("InvalidUserException");
    const sessionId = randomUUID();
    sessions.add(sessionId);
    return result({ credentials: { database, sessionId, userName }, path });
  }

  function devices({ sort, resultsLimit = 0 }: Call["params"]): VendorAnswer {
    if (mayList === "nothing") return geotabError("InvalidPermissionsException");
    const ids = [...names.keys()].sort().filter((id) => id > (sort?.offset ?? ""));
    const rows = ids.slice(0, Math.min(resultsLimit, GET_ROWS)).map((id) => ({ id, name: names.get(id) }));
    return result(rows);
  }

  /** A version is the number of records before it. Without one, by date; it may add older records, and does. */
  function feed({ fromVersion, search, resultsLimit = 0 }: Call["params"]): VendorAnswer {
    const { fromDate } = search ?? {};
    const byDate = log.findIndex(({ dateTime }) => fromDate !== undefined && dateTime >= fromDate);
    const from =
      fromVersion === undefined ? (byDate === -1 ? log.length : byDate) : Number.parseInt(fromVersion, 16);
    const rows = log.slice(from, from + Math.min(resultsLimit, 50_000));
    const data = rows.map(({ device, ...record }, index) => ({
      ...record,
      device: { id: device },
      id: `b${(from + index).toString(16).toUpperCase()}`,
    }));
    return result({ data, toVersion: (from + rows.length).toString(16).padStart(16, "0") });
  }

  const vendor = await startPolledVendor(answer);
  return {
    ...vendor,
    record: (...records) => void log.push(...records),
    name: (device, name) => void names.set(device, name),
    endSessions: () => sessions.clear(),
    calls: () =>
      vendor.asked.map(({ body }) => {
        const { method, params }: Call = JSON.parse(body);
        return [method, params.typeName].filter((word) => word !== undefined).join(" ");
      }),
  };
}

function result(value: unknown): VendorAnswer {
  return { status: 200, body: { result: value, jsonrpc: "2.0" } };
}

export function geotabError(type: string, headers: Record<string, string> = {}): VendorAnswer {
  const message = `a text nobody should look at: ${randomUUID()}`;
  return {
    status: 200,
    headers,
    body: {
      error: {
        message,
        code: -32000,
        data: { id: randomUUID(), type, requestIndex: 0 },
        name: "JSONRPCError",
        errors: [{ message, name: type }],
      },
      jsonrpc: "2.0",
      requestIndex: 0,
    },
  };
}
