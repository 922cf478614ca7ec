/** A gateway with its webhook, its embedded broker, its own Redis and a sandbox that is never the slow one: for tests that flood it. */

import { startSandboxApi } from "../../sandbox/api.ts";
import { startPrivateRedis } from "../../sandbox/redis.ts";
import {
  type GatewayOptions,
  type GatewayProcess,
  quietPort,
  startGatewayProcess,
} from "./gateway-process.ts";

export interface WholeGateway {
  gateway: GatewayProcess;
  /** Of the embedded broker. */
  mqttPort: number;
  stop(): Promise<void>;
}

/** Well above what any of these tests sends. */
const SANDBOX_RATE_PER_SECOND = 10_000;

export async function startWholeGateway({
  devices,
  ...options
}: Pick<GatewayOptions, "sources" | "maxOpenFiles"> & {
  /** Logins of the embedded broker. */
  devices: readonly { username: string; password: string; source: string }[];
}): Promise<WholeGateway> {
  const open: { stop(): Promise<void> }[] = [];
  async function stop(): Promise<void> {
    for (const each of open.splice(0).reverse()) await each.stop();
  }
  async function own<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
    const started = await starting;
    open.push(started);
    return started;
  }
  try {
    const redis = await own(startPrivateRedis());
    const sandbox = await own(startSandboxApi({ record: "all", ratePerSecond: SANDBOX_RATE_PER_SECOND }));
    const mqttPort = await quietPort();
    const gateway = await own(
      startGatewayProcess({
        redisUrl: redis.url,
        sandbox,
        ...options,
        sections: { mqtt: { listen: { host: "127.0.0.1", port: mqttPort, devices } } },
      }),
    );
    return { gateway, mqttPort, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
