/** Reads the entries of the streams in Redis: fields by name, and the time in an entry's id. */

/** Undefined: the entry has no such field. */
export function fieldOf<T extends string | Buffer>(fields: readonly T[], name: string): T | undefined {
  // Names stand at even places; a value may equal one of them.
  const at = fields.findIndex((each, i) => i % 2 === 0 && each.toString() === name);
  return at < 0 ? undefined : fields[at + 1];
}

/** UTC milliseconds since 1970: when the entry was added, by Redis's clock. */
export function entryTime(id: string | Buffer): number {
  return Number(id.toString().split("-")[0]);
}
