/** A TCP proxy whose link can be cut, frozen, slowed down or broken off in the middle of an answer. */

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export type LinkState =
  | { kind: "open" }
  /** Bytes wait in both directions; connections stay up, as behind a switch that drops packets. */
  | { kind: "frozen" }
  /** Requests pass, answers wait. */
  | { kind: "deaf" }
  /** Connections are reset, new ones too. */
  | { kind: "cut" }
  /** Answers come so few bytes at a time. */
  | { kind: "drip"; bytes: number; everyMs: number }
  /** Every connection ends after so many bytes of answers. */
  | { kind: "torn"; afterBytes: number };

export interface BreakableLink {
  port: number;
  set(state: LinkState): void;
  /** Connections with answers that have not been passed on. */
  unanswered(): number;
  stop(): Promise<void>;
}

interface Link {
  client: Socket;
  server: Socket;
  /** Answers not passed on yet. */
  held: Buffer[];
  /** Bytes of answers since the state was set. */
  answered: number;
}

export async function startProxy(targetPort: number): Promise<BreakableLink> {
  const links = new Set<Link>();
  let state: LinkState = { kind: "open" };
  let ticker: NodeJS.Timeout | undefined;

  function drop(link: Link): void {
    links.delete(link);
    link.client.resetAndDestroy();
    link.server.destroy();
  }

  /** Passes on what the state allows of the answers held. */
  function release(link: Link): void {
    if (state.kind === "frozen" || state.kind === "deaf" || link.held.length === 0) return;
    const bytes = Buffer.concat(link.held.splice(0));
    switch (state.kind) {
      case "open":
        link.client.write(bytes);
        return;
      case "drip":
        link.client.write(bytes.subarray(0, state.bytes));
        if (bytes.length > state.bytes) link.held.push(bytes.subarray(state.bytes));
        return;
      case "torn": {
        const room = state.afterBytes - link.answered;
        link.answered += bytes.length;
        if (bytes.length < room) link.client.write(bytes);
        // The part must have left before the end, or the other side would see only the end.
        else link.client.write(bytes.subarray(0, Math.max(0, room)), () => setImmediate(drop, link));
        return;
      }
      case "cut":
        drop(link);
        return;
      default:
        state satisfies never;
    }
  }

  const listener = createServer((client) => {
    if (state.kind === "cut") {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const server = connect(targetPort, "127.0.0.1");
    const link: Link = { client, server, held: [], answered: 0 };
    links.add(link);
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on("data", (chunk) => server.write(chunk));
    if (state.kind === "frozen") client.pause();
    server.on("data", (chunk) => {
      link.held.push(chunk);
      // Dripping goes by the clock alone.
      if (state.kind !== "drip") release(link);
    });
    // What the target said before it closed belongs to the client, unless the link does not pass anything.
    server.on("end", () => {
      if (state.kind === "open") client.end();
    });
    for (const [side, other] of [
      [client, server],
      [server, client],
    ] as const) {
      side.on("error", () => {});
      side.on("close", () => {
        // A frozen link hides that the other side has gone.
        if (state.kind === "frozen") return;
        links.delete(link);
        other.destroy();
      });
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("the system gave no TCP port");

  function set(next: LinkState): void {
    state = next;
    clearInterval(ticker);
    for (const link of links) {
      link.answered = 0;
      const goneUnseen = link.client.destroyed || link.server.destroyed;
      if (next.kind === "frozen") link.client.pause();
      else if (next.kind === "cut" || goneUnseen) drop(link);
      else {
        link.client.resume();
        if (next.kind !== "drip") release(link);
      }
    }
    if (next.kind === "drip") {
      ticker = setInterval(() => {
        for (const link of links) release(link);
      }, next.everyMs);
    }
  }

  return {
    port: address.port,
    set,
    unanswered: () => [...links].filter(({ held }) => held.length > 0).length,
    async stop() {
      clearInterval(ticker);
      listener.close();
      for (const link of links) drop(link);
      await once(listener, "close");
    },
  };
}
