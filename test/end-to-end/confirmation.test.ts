/** What a vendor asks us to fetch goes the one guarded way out: through the proxy, and to nobody without a right certificate. */

import { once } from "node:events";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type PrivateRedis, startPrivateRedis } from "../../sandbox/redis.ts";
import { because } from "../support/because.ts";
import { type Authority, createAuthority, whyNotCertificates } from "../support/certificates.ts";
import { type GatewayProcess, startGatewayProcess } from "../support/gateway-process.ts";
import { until } from "../support/wait.ts";

const HOST = "sns.us-east-1.amazonaws.com";
const LOGIN = { username: "fleet-7", secret: "kX9-tR2wq-77LmZ" };

describe.skipIf(whyNotCertificates() !== null)(
  `the confirmation of a subscription${because(whyNotCertificates())}`,
  () => {
    let redis: PrivateRedis;
    let authority: Authority;
    let gateway: GatewayProcess | null = null;
    const closers: (() => void)[] = [];

    beforeAll(async () => {
      redis = await startPrivateRedis();
      authority = createAuthority();
    }, 120_000);
    afterEach(async () => {
      await gateway?.stop();
      for (const close of closers.splice(0)) close();
    });
    afterAll(async () => {
      authority.remove();
      await redis.stop();
    });

    /** The vendor's server, and a proxy that leads there whatever name it is asked for. */
    async function outside() {
      const asked: string[] = [];
      const tunnels: string[] = [];
      const server = createHttpsServer(authority.sign(HOST), (request, response) => {
        asked.push(request.url ?? "");
        response.end();
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const proxy = createServer((socket) => {
        socket
          .on("error", () => {})
          .once("data", (data) => {
            tunnels.push(/^CONNECT (\S+) HTTP/.exec(data.toString("latin1"))?.[1] ?? "");
            const upstream = connect(port, "127.0.0.1", () => {
              socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
              socket.pipe(upstream).pipe(socket);
            });
            upstream.on("error", () => socket.destroy());
          });
      }).listen(0, "127.0.0.1");
      await once(proxy, "listening");
      closers.push(
        () => server.close(),
        () => server.closeAllConnections(),
        () => proxy.close(),
      );
      return { asked, tunnels, proxyUrl: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
    }

    async function subscribe(proxyUrl: string, env: Record<string, string>): Promise<GatewayProcess> {
      const started = await startGatewayProcess({
        redisUrl: redis.url,
        sandbox: { url: "http://127.0.0.1:1", authUrl: "http://127.0.0.1:1" },
        sources: { reveal: { vendor: "verizon-connect", destination: "acme", auth: LOGIN } },
        sections: { log: { level: "info" } },
        env: { HTTPS_PROXY: proxyUrl, NO_PROXY: "127.0.0.1", ...env },
      });
      gateway = started;
      const login = Buffer.from(`${LOGIN.username}:${LOGIN.secret}`).toString("base64");
      const answer = await fetch(started.webhook("reveal"), {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Basic ${login}` },
        body: JSON.stringify({
          Type: "SubscriptionConfirmation",
          SubscribeURL: `https://${HOST}/?Action=ConfirmSubscription&Token=t0ken`,
        }),
      });
      expect(answer.status).toBe(200);
      return started;
    }

    test("goes through the proxy", async () => {
      const { asked, tunnels, proxyUrl } = await outside();
      await subscribe(proxyUrl, { NODE_EXTRA_CA_CERTS: authority.caFile });
      await until(() => asked.length === 1, { what: "the request" });
      expect(asked).toEqual(["/?Action=ConfirmSubscription&Token=t0ken"]);
      expect(tunnels).toEqual([`${HOST}:443`]);
    });

    test("is not made to a certificate nobody vouches for, whatever the environment says", async () => {
      const { asked, tunnels, proxyUrl } = await outside();
      const started = await subscribe(proxyUrl, { NODE_TLS_REJECT_UNAUTHORIZED: "0" });
      // The second attempt shows how the first has ended.
      await until(() => tunnels.length === 2, { what: "a second attempt", withinMs: 30_000 });
      expect(asked).toEqual([]);
      expect(started.log()).not.toContain("t0ken");
    });
  },
);
