/** Runs a command of the command line, or the demo, as a process of its own, which never outlives the test. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startOwned } from "../../sandbox/owned-process.ts";
import { programArgs } from "./compiled.ts";
import { until } from "./wait.ts";

export interface CliProcess {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  /** Null while it runs; afterwards `exit code N` or the signal's name. */
  ended(): string | null;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with how it ended. */
  end(withinMs?: number): Promise<string>;
  /** Ends it if it runs, and removes what it wrote. */
  stop(): Promise<void>;
}

export interface CliOptions {
  /** Added to this process's environment, in which no setting of Waypost is left. */
  env?: Record<string, string>;
  /** Standard input. */
  input?: string | Uint8Array;
  /** Another program of the repository than the command line. */
  program?: string;
  /** For Node itself, before the program. */
  nodeArgs?: readonly string[];
  /** How many files and connections it may open. Default: as many as this process. */
  maxOpenFiles?: number;
}

/** Node raises a soft limit to the hard one, so both are set. `exec`: the process id is the command's, not a shell's. */
const SCRIPT =
  'dir=$1; [ "$2" = 0 ] || ulimit -n "$2"; shift 2; exec env "$@" <"$dir/input" >"$dir/stdout" 2>"$dir/stderr"';

export async function startCli(args: readonly string[], options: CliOptions = {}): Promise<CliProcess> {
  const dir = mkdtempSync(join(tmpdir(), "waypost-cli-"));
  writeFileSync(join(dir, "input"), options.input ?? "");
  for (const name of ["stdout", "stderr"]) writeFileSync(join(dir, name), "");
  const inherited = Object.keys(process.env).filter((name) =>
    /^(WAYPOST_|REDIS_URL|NODE_OPTIONS|VITEST)/.test(name),
  );
  const environment = [
    ...inherited.flatMap((name) => ["-u", name]),
    // Every server is on this machine, so no proxy applies.
    ...Object.entries({ NO_PROXY: "127.0.0.1", ...options.env }).map(([name, value]) => `${name}=${value}`),
  ];
  const node = [
    process.execPath,
    ...(options.nodeArgs ?? []),
    ...programArgs(options.program ?? "src/cli.ts"),
  ];
  const owned = await startOwned(
    "sh",
    ["-c", SCRIPT, "sh", dir, String(options.maxOpenFiles ?? 0), ...environment, ...node, ...args],
    {
      removeDirs: [dir],
    },
  );
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  return {
    pid: owned.pid,
    stdout: () => read("stdout"),
    stderr: () => read("stderr"),
    ended: owned.ended,
    kill: owned.kill,
    end: (withinMs = 60_000) =>
      until(owned.ended, { withinMs, what: `${args[0]} to end` }).catch((error: unknown) => {
        throw new Error(`${String(error)}; its standard error: ${read("stderr").slice(-2000)}`, {
          cause: error,
        });
      }),
    async stop() {
      await owned.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Runs a command to its end. */
export async function runCli(
  args: readonly string[],
  options: CliOptions & { withinMs?: number } = {},
): Promise<{ ended: string; stdout: string; stderr: string }> {
  const cli = await startCli(args, options);
  try {
    const ended = await cli.end(options.withinMs);
    return { ended, stdout: cli.stdout(), stderr: cli.stderr() };
  } finally {
    await cli.stop();
  }
}
