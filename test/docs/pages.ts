/** The pages of the documentation as its tests see them: their headings, anchors, links, tables and code blocks. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Page {
  /** From the repository's root. */
  file: string;
  text: string;
}

export interface Table {
  head: string[];
  rows: string[][];
  /** As they stand in the page. */
  lines: string[];
}

export interface Block {
  language: string;
  text: string;
}

export function pageAt(file: string): Page {
  return { file, text: readFileSync(join(ROOT, file), "utf8") };
}

/** Every page that a reader may come to; the changelog is history and names what is gone. */
export function allPages(): Page[] {
  const docs = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name));
  return [
    ...["README.md", "CONTRIBUTING.md", "SECURITY.md", "src/adapters/README.md", "bench/README.md"],
    ...docs.sort(),
  ].map(pageAt);
}

/** The page without its code blocks, whose lines may begin with anything. */
function prose({ text }: Page): string {
  return text.replaceAll(/^```[\s\S]*?^```$/gm, "");
}

/** The headings of a level, in order, without their marks. */
export function headingsOf(page: Page, level = "#+"): string[] {
  return [...prose(page).matchAll(new RegExp(`^${level} (.+)$`, "gm"))].flatMap(([, text = ""]) => text);
}

/** As GitHub makes them: lower case, without punctuation, blanks as dashes. */
export function anchorOf(heading: string): string {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_\s-]/gu, "")
    .replaceAll(" ", "-");
}

export interface Link {
  /** From the repository's root; the page itself for a link within it. */
  file: string;
  anchor: string | null;
}

/** Links to files and headings of the repository, written in place or as references. */
export function linksOf(page: Page): Link[] {
  const targets = [
    ...[...page.text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => target),
    ...[...page.text.matchAll(/^\[[^\]]+\]: (\S+)$/gm)].flatMap(([, target = ""]) => target),
  ];
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file = "", anchor] = target.split("#");
      return {
        file: file === "" ? page.file : normalize(join(dirname(page.file), file)),
        anchor: anchor ?? null,
      };
    });
}

export function tablesOf(page: Page): Table[] {
  const blocks = prose(page).match(/(?:^[^\S\n]*\|.*\|\n)+/gm) ?? [];
  return blocks.map((block) => {
    const lines = block.trimEnd().split("\n");
    const [head = [], , ...rows] = lines.map((line) =>
      line
        .trim()
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
    return { head, rows, lines };
  });
}

export function blocksOf(page: Page): Block[] {
  return [...page.text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = "", text = ""]) => ({
    language,
    text,
  }));
}
