/** The `sandbox` command: in the repository it prints a destination to paste; the product says where it is. */

import { expect, test, vi } from "vitest";
import { parse } from "yaml";
import { adapters } from "../../src/adapters/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { runCli } from "../support/cli-process.ts";
import { quietPort } from "../support/gateway-process.ts";
import { scaled } from "../support/speed.ts";

vi.setConfig({ testTimeout: scaled(60_000) });

test("what it prints can be pasted into a configuration", async () => {
  const port = String(await quietPort());
  const { ended, stdout } = await runCli(["--port", port, "--for", "1s"], { program: "sandbox/try.ts" });
  expect(ended).toBe("exit code 0");
  const settings = {
    ops: { token: "5f0c2a96d3b14e7a-7c1e90b4" },
    sources: { vans: { vendor: "bouncie", destination: "sandbox", auth: { secret: "a2d85f367c1e90b4" } } },
    ...parse(stdout),
  };
  expect(loadConfig({ settings, env: {}, adapters })).toMatchObject({
    config: { destinations: { sandbox: { apiUrl: `http://127.0.0.1:${port}`, tenant: "1000001" } } },
  });
});

test("the product has none, and says where it is", async () => {
  const { ended, stdout, stderr } = await runCli(["sandbox", "--port", "8090"]);
  expect({ ended, stdout }).toEqual({ ended: "exit code 69", stdout: "" });
  expect(stderr).toContain("npm run waypost -- sandbox");
});
