/** Turns the figures of all turns into medians, ratios, a table and JSON lines. */

import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, totalmem } from "node:os";
import { findRedisServer } from "../sandbox/redis.ts";
import type { ContestantName } from "./contestants.ts";
import type { Figures, ScenarioName } from "./scenarios.ts";

export type Turns = Partial<Record<ContestantName, Figures[]>>;

interface Medians {
  pingsPerSecond: number;
  p50Ms: number | null;
  p99Ms: number | null;
  redisBytesPerPing: number | null;
  cpu: Record<string, number>;
  /** Every turn's pings per second, in order, so that the spread can be seen. */
  turns: number[];
  remarks: string[];
}

export interface Result {
  scenario: ScenarioName;
  pingsPerSecond: number | null;
  p50Ms: number | null;
  p99Ms: number | null;
  redisBytesPerPing: number | null;
  /** The gateway's pings per second by the reference's; null when one of them did not take part. */
  ratioFloor: number | null;
  ratioNaive: number | null;
  rounds: number;
  gateway: Medians | null;
  floor: Medians | null;
  naive: Medians | null;
  machine: Record<string, string | number>;
}

export function summarize(scenario: ScenarioName, turns: Turns, rounds: number): Result {
  const gateway = medians(turns.gateway);
  const floor = medians(turns.floor);
  const naive = medians(turns.naive);
  return {
    scenario,
    pingsPerSecond: gateway?.pingsPerSecond ?? null,
    p50Ms: gateway?.p50Ms ?? null,
    p99Ms: gateway?.p99Ms ?? null,
    redisBytesPerPing: gateway?.redisBytesPerPing ?? null,
    ratioFloor: ratio(gateway, floor),
    ratioNaive: ratio(gateway, naive),
    rounds,
    gateway,
    floor,
    naive,
    machine: machine(),
  };
}

function medians(figures: Figures[] | undefined): Medians | null {
  if (figures === undefined || figures.length === 0) return null;
  const names = Object.keys(figures[0]?.cpu ?? {});
  return {
    pingsPerSecond: Math.round(median(figures.map((f) => f.pingsPerSecond)) ?? 0),
    p50Ms: rounded(median(figures.map((f) => f.p50Ms)), 2),
    p99Ms: rounded(median(figures.map((f) => f.p99Ms)), 2),
    redisBytesPerPing: rounded(median(figures.map((f) => f.redisBytesPerPing)), 0),
    cpu: Object.fromEntries(
      names.map((name) => [name, rounded(median(figures.map((f) => f.cpu[name] ?? null)), 2) ?? 0]),
    ),
    turns: figures.map((f) => Math.round(f.pingsPerSecond)),
    remarks: figures.flatMap((f, i) => f.remarks.map((remark) => `round ${i + 1}: ${remark}`)),
  };
}

function median(values: (number | null)[]): number | null {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  const middle = known.length / 2;
  const upper = known[Math.floor(middle)];
  if (upper === undefined) return null;
  return Number.isInteger(middle) ? (upper + (known[middle - 1] ?? upper)) / 2 : upper;
}

function ratio(gateway: Medians | null, reference: Medians | null): number | null {
  if (gateway === null || reference === null || reference.pingsPerSecond === 0) return null;
  return rounded(gateway.pingsPerSecond / reference.pingsPerSecond, 3);
}

function rounded(value: number | null, digits: number): number | null {
  return value === null ? null : Number(value.toFixed(digits));
}

function machine(): Record<string, string | number> {
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "unknown",
    memoryGb: Math.round(totalmem() / 1e9),
    node: process.versions.node,
    redis: redisVersion(),
  };
}

function redisVersion(): string {
  const program = findRedisServer();
  if (program === null) return "none";
  return /v=(\S+)/.exec(execFileSync(program, ["--version"], { encoding: "utf8" }))?.[1] ?? "unknown";
}

export function table(results: readonly Result[]): string {
  const rows = [
    ["scenario", "contestant", "pings/s", "p50 ms", "p99 ms", "B/ping", "gateway is", "each round"],
    ...results.flatMap(contestantRows),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0, column))
      .join("  ")
      .trimEnd(),
  );
  const about = Object.entries(results[0]?.machine ?? {}).map(([name, value]) => `${name} ${value}`);
  return [
    ...lines,
    "",
    ...results.flatMap(cpuLines),
    "",
    ...results.flatMap(remarkLines),
    about.join(", "),
  ].join("\n");
}

const NAMES = ["gateway", "floor", "naive"] as const;

function contestantRows(result: Result): string[][] {
  return NAMES.flatMap((name) => {
    const figures = result[name];
    if (figures === null) return [];
    const times = { gateway: null, floor: result.ratioFloor, naive: result.ratioNaive }[name];
    return [
      [
        result.scenario,
        name,
        figures.pingsPerSecond.toLocaleString("en"),
        text(figures.p50Ms),
        text(figures.p99Ms),
        text(figures.redisBytesPerPing),
        times === null ? "" : `${times.toFixed(2)} × this`,
        figures.turns.map((turn) => turn.toLocaleString("en")).join(" "),
      ],
    ];
  });
}

/** Where the processors went: without it a slow contestant looks like a machine that was busy with other work. */
function cpuLines(result: Result): string[] {
  return NAMES.flatMap((name) => {
    const shares = Object.entries(result[name]?.cpu ?? {}).map(
      ([part, share]) => `${part} ${share.toFixed(2)}`,
    );
    return shares.length > 0 ? [`processors used, ${result.scenario} ${name}: ${shares.join(", ")}`] : [];
  });
}

function remarkLines(result: Result): string[] {
  return NAMES.flatMap((name) =>
    (result[name]?.remarks ?? []).map((remark) => `${result.scenario} ${name}, ${remark}`),
  );
}

function text(value: number | null): string {
  return value === null ? "" : String(value);
}

/** Names to the left, figures to the right. */
function pad(cell: string, width: number, column: number): string {
  return column < 2 || column === 7 ? cell.padEnd(width) : cell.padStart(width);
}
