/** Finds the secrets of a tenant's document, and seals, opens, hides, keeps and makes them at their places. */

import { randomBytes } from "node:crypto";
import { isRecord } from "../untrusted.ts";
import { isSealed, type Seal } from "./seal.ts";

export type Path = readonly (string | number)[];

/** A copy in which each secret reads as what may be shown of it; everything else is as it was. */
export type Hide = (document: unknown) => unknown;

/** What is wrong at one place of a document. */
export interface DocumentProblem {
  /** RFC 6901. */
  pointer: string;
  detail: string;
}

/** What stands in a secret's place where there is one, and what asks for a new one. */
const SET = "(set)";
const GENERATE = "(generate)";
/** In an export, which leaves this gateway and so says where the secret stays. */
const SEALED = "(sealed)";

export function pointerOf(path: Path): string {
  return path.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** With every secret sealed. Throws without a key. */
export function sealSecrets(
  name: string,
  document: unknown,
  { hide, seal }: { hide: Hide; seal: Seal },
): unknown {
  const hidden = hide(document);
  return mapTexts(document, (text, path) =>
    text === at(hidden, path) ? text : seal.seal(text, placeOf(name, path)),
  );
}

export type OpenedDocument =
  | { kind: "open"; document: unknown; isCurrent: boolean }
  | { kind: "closed"; pointer: string; why: "unknown_key" | "broken" };

export function openSecrets(name: string, sealed: unknown, seal: Seal): OpenedDocument {
  let isCurrent = true;
  let closed: { pointer: string; why: "unknown_key" | "broken" } | undefined;
  const document = mapTexts(sealed, (text, path) => {
    if (!isSealed(text)) return text;
    const opened = seal.open(text, placeOf(name, path));
    isCurrent &&= seal.isCurrent(text);
    if (opened.kind === "open") return opened.secret;
    closed ??= { pointer: pointerOf(path), why: opened.why };
    return text;
  });
  return closed ? { kind: "closed", ...closed } : { kind: "open", document, isCurrent };
}

export function hasSecrets(document: unknown, hide: Hide): boolean {
  const hidden = hide(document);
  let found = false;
  mapTexts(document, (text, path) => {
    found ||= text !== at(hidden, path);
    return text;
  });
  return found;
}

export interface GeneratedSecret {
  pointer: string;
  secret: string;
}

export interface FilledIn {
  document: unknown;
  generated: GeneratedSecret[];
  problems: DocumentProblem[];
}

/** With the secrets that `before` has and `given` leaves as they were shown, and with those that it asks to be made. */
export function fillIn(given: unknown, before: unknown, hide: Hide): FilledIn {
  const shown = hide(before);
  const generated: GeneratedSecret[] = [];
  const problems: DocumentProblem[] = [];
  const document = mapTexts(given, (text, path) => {
    const old = at(before, path);
    if (typeof old === "string" && text !== old && (text === at(shown, path) || text === SEALED)) return old;
    const pointer = pointerOf(path);
    if (text === GENERATE && isOurs(path)) {
      // As `openssl rand -hex 24` makes it: every vendor's form takes it.
      const secret = randomBytes(24).toString("hex");
      generated.push({ pointer, secret });
      return secret;
    }
    const detail = wrongPlaceholder(text);
    if (detail !== null) problems.push({ pointer, detail });
    return text;
  });
  return { document, generated, problems };
}

/** What authenticates senders to us is ours to choose; everything else is handed out by others. */
function isOurs([section, , third]: Path): boolean {
  return (section === "sources" && third === "auth") || (section === "mqtt" && third === "devices");
}

function wrongPlaceholder(text: string): string | null {
  if (text === SET) return `is ${SET}, and there is no secret to keep: give one`;
  if (text === SEALED) return `is ${SEALED}: an export has no secrets, so give this one`;
  if (text === GENERATE) return "cannot be generated: whoever is asked with it hands it out";
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it names the syntax
  if (/\$\{/.test(text)) return "has a ${…}, which only files may: write the value itself";
  return isSealed(text) ? "is sealed already: write the secret itself" : null;
}

/** Every text of the document, replaced. */
function mapTexts(value: unknown, replace: (text: string, path: Path) => string, path: Path = []): unknown {
  if (typeof value === "string") return replace(value, path);
  if (Array.isArray(value)) return value.map((item, index) => mapTexts(item, replace, [...path, index]));
  if (!isRecord(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, mapTexts(item, replace, [...path, key])]);
  return Object.fromEntries(entries);
}

function at(value: unknown, path: Path): unknown {
  let inside = value;
  for (const step of path) {
    if (Array.isArray(inside)) inside = inside[Number(step)];
    else inside = isRecord(inside) && Object.hasOwn(inside, step) ? inside[step] : undefined;
  }
  return inside;
}

/** Sealed for one tenant and one place, a secret opens at no other. */
function placeOf(name: string, path: Path): string {
  return `tenant ${name} ${pointerOf(path)}`;
}
