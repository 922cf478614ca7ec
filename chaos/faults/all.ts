/** The list of all faults. */

import type { Fault } from "../fault.ts";
import { BROKER_FAULTS } from "./broker.ts";
import { CONFIGURATION_FAULTS } from "./configuration.ts";
import { GATEWAY_FAULTS } from "./gateway.ts";
import { NETWORK_FAULTS } from "./network.ts";
import { REDIS_FAULTS } from "./redis.ts";
import { SERVICETITAN_FAULTS } from "./servicetitan.ts";

export const FAULTS: readonly Fault[] = [
  ...GATEWAY_FAULTS,
  ...CONFIGURATION_FAULTS,
  ...REDIS_FAULTS,
  ...BROKER_FAULTS,
  ...SERVICETITAN_FAULTS,
  ...NETWORK_FAULTS,
];
