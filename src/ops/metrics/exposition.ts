/** Writes metrics in Prometheus' text format, at once: building a registry for each scrape of 1,000 tenants took seconds. */

/** One series: its labels, ready to be written, and its value; null leaves it out. */
export type Row = readonly [labels: string, value: number | boolean | null];

export interface Exposition {
  gauge(name: string, help: string, rows: readonly Row[]): void;
  counter(name: string, help: string, rows: readonly Row[]): void;
  /** A gauge without labels. */
  one(name: string, help: string, value: number | boolean | null): void;
  text(): string;
}

export function createExposition(): Exposition {
  const lines: string[] = [];
  function write(type: "gauge" | "counter", name: string, help: string, rows: readonly Row[]): void {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of rows) if (value !== null) lines.push(`${name}${labels} ${Number(value)}`);
  }
  return {
    gauge: (name, help, rows) => write("gauge", name, help, rows),
    counter: (name, help, rows) => write("counter", name, help, rows),
    one: (name, help, value) => write("gauge", name, help, [["", value]]),
    text: () => `${lines.join("\n")}\n`,
  };
}

/** `{source="vans",reason="too_old"}` */
export function labelled(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return `{${pairs.join(",")}}`;
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}
