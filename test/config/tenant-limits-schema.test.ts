/** The limits that a tenant may have. */

import { expect, test } from "vitest";
import { tenantLimitsSchema } from "../../src/config/tenant-limits-schema.ts";

test("each limit may be left out, and none may be 0", () => {
  expect(tenantLimitsSchema.parse({})).toEqual({});
  const limits = { readingsPerSecond: 0.5, devices: 25, backlog: 10_000 };
  expect(tenantLimitsSchema.parse(limits)).toEqual(limits);
  for (const name of Object.keys(limits))
    expect(tenantLimitsSchema.safeParse({ [name]: 0 }).success).toBe(false);
});
