/** The stream of live changes: the small status whenever it changes, and problems as they begin and end. */

import { createRoute, z } from "@hono/zod-openapi";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import type { Sight } from "../access/sight.ts";
import { refusals, refused } from "./errors.ts";
import { placedProblems } from "./places.ts";
import { type Api, type ApiDeps, TAGS } from "./routes.ts";
import { smallStatus } from "./small-status.ts";

/** The shared snapshot is computed at most this often. */
const LOOK_EVERY_MS = 1000;
/** Proxies close a connection on which nothing comes for 30 to 60 s. */
const HEARTBEAT_MS = 15_000;
/** A person with several screens and tabs; each costs a connection, of which the port has a bound. */
const MAX_STREAMS_PER_TOKEN = 20;
/** A browser waits this long before it connects again. */
const RETRY_MS = 2000;

export function serveEvents(api: Api, deps: ApiDeps): void {
  /** Open streams by the token's name. */
  const open = new Map<string, number>();

  api.openapi(eventsRoute, async (c) => {
    const { token, sight, isStillIn } = c.var;
    const others = open.get(token.name) ?? 0;
    if (others >= MAX_STREAMS_PER_TOKEN) {
      return refused(c, "too_many_streams", `This token has ${others} streams open, which is the most.`);
    }
    open.set(token.name, others + 1);
    return streamSSE(c, async (out) => {
      try {
        await follow(out, { deps, sight, isStillIn });
      } finally {
        const left = (open.get(token.name) ?? 1) - 1;
        if (left > 0) open.set(token.name, left);
        else open.delete(token.name);
      }
    });
  });
}

interface Follower {
  deps: ApiDeps;
  sight: Sight;
  isStillIn(): Promise<boolean>;
}

/** Ends when the client goes away or its session ends. */
async function follow(out: SSEStreamingApi, { deps, sight, isStillIn }: Follower): Promise<void> {
  const told = new Map<string, string>();
  let last = "";
  let isFirst = true;
  let writtenAt = performance.now();
  while (!out.aborted && !out.closed && (await isStillIn())) {
    const status = await deps.statusFor(sight);
    const small = smallStatus(status, deps.topology);
    const changed = JSON.stringify({ ...small, at: null, process: null });
    const problems = new Map(placedProblems(status, deps.topology).map((each) => [each.id, each]));
    if (changed !== last) {
      await out.writeSSE({
        event: "status",
        data: JSON.stringify(small),
        ...(isFirst ? { retry: RETRY_MS } : {}),
      });
      writtenAt = performance.now();
    }
    for (const [id, problem] of problems) {
      // The first status has those that there already are.
      if (!isFirst && !told.has(id)) {
        await out.writeSSE({ event: "problem_began", data: JSON.stringify(problem) });
      }
      told.set(id, JSON.stringify(problem));
    }
    for (const [id, data] of told) {
      if (problems.has(id)) continue;
      told.delete(id);
      await out.writeSSE({ event: "problem_ended", data });
    }
    if (performance.now() - writtenAt > HEARTBEAT_MS) {
      await out.write(": still here\n\n");
      writtenAt = performance.now();
    }
    last = changed;
    isFirst = false;
    await out.sleep(LOOK_EVERY_MS);
  }
}

const eventsRoute = createRoute({
  method: "get",
  path: "/events",
  operationId: "followEvents",
  tags: [TAGS.gateway],
  summary: "Follow what changes",
  description:
    "Server-sent events: `status` with the document of GET status, first at once and then whenever it changes; `problem_began` and `problem_ended` with a problem. A comment every 15 s keeps the connection open. The stream ends with the session.",
  request: { query: z.strictObject({}) },
  responses: {
    200: {
      description: "The stream",
      content: {
        "text/event-stream": {
          schema: z.string(),
          example: 'event: status\ndata: {"available":true}\n\n',
        },
      },
    },
    ...refusals("bad_request", "too_many_streams"),
  },
});
