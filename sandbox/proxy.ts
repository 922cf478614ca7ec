/** A TCP proxy whose link can be cut, frozen, slowed down, broken off in the middle of an answer, or led elsewhere. */

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

/** Follows one connection's bytes in the order in which they are passed on. */
export interface Listener {
  sent(bytes: Buffer): void;
  answered(bytes: Buffer): void;
  /** The link is not open, or was not a moment ago: what ends on it may end because of the link. */
  disturbed(): void;
  ended(by: "client" | "server" | "link"): void;
}

export interface TcpProxy {
  port: number;
  set(state: LinkState): void;
  /** New connections lead there, as after a failover; open ones stay where they are. */
  moveTo(port: number): void;
  /** Resets every open connection; new ones pass. */
  reset(): void;
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
  listener: Listener | null;
}

/** `listen` creates a listener for each connection. */
export async function startProxy(firstTarget: number, listen?: () => Listener): Promise<TcpProxy> {
  const links = new Set<Link>();
  let state: LinkState = { kind: "open" };
  let target = firstTarget;
  let ticker: NodeJS.Timeout | undefined;

  function drop(link: Link): void {
    end(link, "link");
    link.client.resetAndDestroy();
    link.server.destroy();
  }

  function end(link: Link, by: "client" | "server" | "link"): void {
    if (links.delete(link)) link.listener?.ended(by);
  }

  function pass(link: Link, bytes: Buffer): void {
    link.client.write(bytes);
    if (!link.client.destroyed) link.listener?.answered(bytes);
  }

  /** Passes on what the state allows of the answers held. */
  function release(link: Link): void {
    if (state.kind === "frozen" || state.kind === "deaf" || link.held.length === 0) return;
    const bytes = Buffer.concat(link.held.splice(0));
    switch (state.kind) {
      case "open":
        pass(link, bytes);
        return;
      case "drip":
        pass(link, bytes.subarray(0, state.bytes));
        if (bytes.length > state.bytes) link.held.push(bytes.subarray(state.bytes));
        return;
      case "torn": {
        const left = state.afterBytes - link.answered;
        link.answered += bytes.length;
        if (bytes.length < left) pass(link, bytes);
        // The part has to leave before the reset: otherwise the other side sees only the reset.
        else link.client.write(bytes.subarray(0, Math.max(0, left)), () => setImmediate(drop, link));
        return;
      }
      case "cut":
        drop(link);
        return;
      default:
        state satisfies never;
    }
  }

  const listening = createServer((client) => {
    if (state.kind === "cut") {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const server = connect(target, "127.0.0.1");
    const link: Link = { client, server, held: [], answered: 0, listener: listen?.() ?? null };
    links.add(link);
    if (state.kind !== "open") link.listener?.disturbed();
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on("data", (chunk) => {
      server.write(chunk);
      link.listener?.sent(chunk);
    });
    if (state.kind === "frozen") client.pause();
    server.on("data", (chunk) => {
      link.held.push(chunk);
      // The timer alone releases drips.
      if (state.kind !== "drip") release(link);
    });
    // What the target sent before it closed belongs to the client, unless the link passes nothing.
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
        end(link, side === client ? "client" : "server");
        other.destroy();
      });
    }
  });
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  const address = listening.address();
  if (address === null || typeof address === "string") throw new Error("the system gave no TCP port");

  function set(next: LinkState): void {
    state = next;
    clearInterval(ticker);
    for (const link of links) {
      link.answered = 0;
      if (next.kind !== "open") link.listener?.disturbed();
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
    moveTo(port) {
      target = port;
    },
    reset() {
      for (const link of links) drop(link);
    },
    unanswered: () => [...links].filter(({ held }) => held.length > 0).length,
    async stop() {
      clearInterval(ticker);
      listening.close();
      for (const link of links) drop(link);
      await once(listening, "close");
    },
  };
}
