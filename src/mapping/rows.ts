/** Reads the rows of a mapping file, CSV, JSON or YAML, each with its line. */

import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { CsvError, parse as parseCsv } from "csv-parse";
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { isRecord, messageOf } from "../untrusted.ts";

/** How the file is written, so that a row for it can be shown. */
export interface MappingForm {
  format: "csv" | "json" | "yaml";
  /** The columns of a CSV file in its order; else the names that its first rows use. */
  columns: readonly string[];
  /** What separates the cells of a CSV file. */
  delimiter: string;
}

export type FileRow =
  /** Comes once, before the first row. */
  | { kind: "form"; form: MappingForm }
  /** `cells` by column, unvalidated. */
  | { kind: "row"; line: number; cells: unknown }
  | { kind: "problem"; problem: string };

/** A hundred thousand rows and more; it is all held in memory. */
const MAX_BYTES = 20_000_000;
/** YAML takes some 50 µs a row and is parsed in one go: this much of it blocks the process for half a second. */
const MAX_YAML_BYTES = 1_000_000;
/** CSV and JSON rows per turn of the event loop, some milliseconds of work. */
const ROWS_PER_TURN = 1000;

/** Yields to the event loop in between: the file may change while the gateway is busy. */
export async function* readRows(file: string): AsyncGenerator<FileRow> {
  let text: string;
  try {
    const bytes = await readFile(file);
    if (bytes.length > MAX_BYTES) return yield problem(`the file is longer than ${MAX_BYTES} bytes`);
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return yield problem("the file is not UTF-8 text");
    return yield problem(`the file cannot be read: ${messageOf(error)}`);
  }
  let read = 0;
  for await (const row of rowsOf(file, text)) {
    yield row;
    if (row.kind === "row" && ++read % ROWS_PER_TURN === 0) await nextTurn();
  }
}

function rowsOf(file: string, text: string): AsyncIterable<FileRow> | Iterable<FileRow> {
  switch (extname(file).toLowerCase()) {
    case ".csv":
      return csvRows(text);
    case ".json":
      return jsonRows(text);
    case ".yaml":
    case ".yml":
      return text.length > MAX_YAML_BYTES
        ? [problem(`YAML is read up to ${MAX_YAML_BYTES} bytes; CSV may be longer`)]
        : yamlRows(text);
    default:
      return [problem("the file's name must end in .csv, .json, .yaml or .yml")];
  }
}

function problem(text: string): FileRow {
  return { kind: "problem", problem: text };
}

async function* csvRows(text: string): AsyncGenerator<FileRow> {
  const header = text.slice(0, text.search(/[\r\n]|$/));
  // Spreadsheets separate by semicolon where the comma is the decimal sign, and by tab when pasted.
  const delimiter = [",", ";", "\t"].find((character) => header.includes(character)) ?? ",";
  const options = {
    delimiter,
    info: true,
    skip_records_with_empty_values: true,
    relax_column_count: true,
    trim: true,
  };
  let columns: string[] | null = null;
  try {
    for await (const { record, info } of Readable.from([text]).pipe(
      parseCsv(options),
    ) as AsyncIterable<CsvRecord>) {
      if (columns !== null) yield* rowUnder(columns, record, info.lines);
      else {
        columns = record.map((name) => name.toLowerCase());
        yield { kind: "form", form: { format: "csv", columns, delimiter } };
        yield* problemsOfHeader(columns);
      }
    }
    if (columns === null) yield problem("the file is empty");
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    yield problem(`line ${Number(error.lines) || 1}: ${error.message}`);
  }
}

/** A record of csv-parse with the option `info`. */
interface CsvRecord {
  record: string[];
  info: { lines: number };
}

function* problemsOfHeader(columns: string[]): Generator<FileRow> {
  const twice = columns.find((name, i) => name !== "" && columns.indexOf(name) !== i);
  if (twice !== undefined) yield problem(`line 1: column "${twice}" is there twice`);
}

function* rowUnder(columns: string[], record: string[], line: number): Generator<FileRow> {
  const surplus = record.slice(columns.length).find((cell) => cell !== "");
  if (surplus !== undefined) yield problem(`line ${line}: "${surplus}" stands under no column`);
  // A column without a heading, as spreadsheets leave them, is ignored while it is empty.
  const named = columns.flatMap((name, i) => (name === "" && !record[i] ? [] : [[name, record[i] ?? ""]]));
  yield { kind: "row", line, cells: Object.fromEntries(named) };
}

function* jsonRows(text: string): Generator<FileRow> {
  let list: unknown;
  try {
    list = JSON.parse(text);
    const quoted = withRoundedInQuotes(text);
    if (quoted !== text) list = JSON.parse(quoted);
  } catch (error) {
    const [why = ""] = (error instanceof Error ? error.message : "").split("\n");
    return yield problem(`${placeOfMistake(text)}not JSON (${why.slice(0, 100)})`);
  }
  if (!Array.isArray(list)) return yield problem("line 1: must be a list of rows");
  yield { kind: "form", form: { format: "json", columns: columnsOf(list), delimiter: "" } };
  const lines = elementLines(text);
  for (const [i, cells] of list.entries())
    yield { kind: "row", line: lines[i] ?? 1, cells: withTexts(cells) };
}

/**
 * A number with an exponent or a decimal point was a floating-point number once, which JSON.parse would hide: in quotes
 * it is validated as it is written. The text is known to be JSON.
 */
function withRoundedInQuotes(text: string): string {
  if (!/\d[.eE]/.test(text)) return text;
  return text.replaceAll(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs, (token) =>
    !token.startsWith('"') && /[eE]|\.0+$/.test(token) ? `"${token}"` : token,
  );
}

/** Numbers become text as long as parsing cannot have lost a digit. */
export function withTexts(cells: unknown): unknown {
  if (typeof cells !== "object" || cells === null || Array.isArray(cells)) return cells;
  return Object.fromEntries(
    Object.entries(cells).map(([name, value]) => [
      name,
      Number.isSafeInteger(value) ? String(value) : (value ?? ""),
    ]),
  );
}

/** V8 does not reliably report the place of a mistake; a YAML parser does, except for what YAML allows beyond JSON. */
function placeOfMistake(text: string): string {
  if (text.length > MAX_YAML_BYTES) return "";
  const counter = new LineCounter();
  const [error] = parseDocument(text, { lineCounter: counter }).errors;
  return error ? `line ${counter.linePos(error.pos[0]).line}: ` : "";
}

/** The line on which each element of the outermost list begins. The text is known to be JSON. */
function elementLines(text: string): number[] {
  const lines: number[] = [];
  let line = 1;
  let depth = 0;
  let awaited = false;
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (character === "\n") line++;
    if (character === " " || character === "\n" || character === "\r" || character === "\t") continue;
    if (awaited && character !== "]") lines.push(line);
    awaited = depth === 1 && character === ",";
    if (character === '"') {
      while (text.charAt(++i) !== '"') if (text.charAt(i) === "\\") i++;
    } else if (character === "[" || character === "{") {
      depth++;
      awaited = depth === 1;
    } else if (character === "]" || character === "}") depth--;
  }
  return lines;
}

function* yamlRows(text: string): Generator<FileRow> {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter });
  const lineOf = (node: unknown) => counter.linePos((node as Node | null)?.range?.[0] ?? 0).line;
  const [error] = document.errors;
  if (error)
    return yield problem(`line ${counter.linePos(error.pos[0]).line}: ${error.message.split("\n")[0]}`);
  if (!isSeq(document.contents)) return yield problem("line 1: must be a list of rows");
  const rows = document.contents.items.map((item) => {
    const pairs = isMap(item) ? item.items.map(({ key, value }) => [textOf(key), textOf(value)]) : null;
    return { line: lineOf(item), cells: pairs === null ? null : Object.fromEntries(pairs) };
  });
  const columns = columnsOf(rows.map(({ cells }) => cells));
  yield { kind: "form", form: { format: "yaml", columns, delimiter: "" } };
  for (const each of rows) yield { kind: "row", ...each };
}

/** Rows are written alike, so a few show the names that a file uses. */
const ROWS_THAT_SHOW = 20;

function columnsOf(rows: readonly unknown[]): string[] {
  return [
    ...new Set(rows.slice(0, ROWS_THAT_SHOW).flatMap((row) => (isRecord(row) ? Object.keys(row) : []))),
  ];
}

/** A number as it is written: the device id 00123 is not 123. */
function textOf(node: unknown): unknown {
  if (!isScalar(node)) return node;
  if (node.value === null) return "";
  return typeof node.value === "string" ? node.value : (node.source ?? String(node.value));
}
