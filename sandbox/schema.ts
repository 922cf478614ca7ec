/** Checks a request body against the official schema of gps-pings, and words every violation as ASP.NET does. */

/** `Dispatch.V2.GpsPingCreateRequest`, field for field. */
export interface SandboxPing {
  unitId: string;
  unitName: string;
  eventTime: string;
  latitude: number | null;
  longitude: number | null;
  speed: number | null;
  street: string;
  city: string;
  region: string;
  postalCode: string;
  message: string;
  externalId: string;
  isNew: boolean;
  statusMessage: string;
}

/** Key: where in the body; value: what is wrong there. */
export type SchemaErrors = Record<string, string[]>;

export type Checked = { kind: "valid"; pings: SandboxPing[] } | { kind: "invalid"; errors: SchemaErrors };

type FieldType = "string" | "dateTime" | "boolean" | "numberOrNull";

/**
 * The official schema leaves latitude, longitude and speed out of `required`. Here all fourteen must be there: what
 * the real service does with an absent one is unknown, so a client that leaves one out fails here.
 */
const FIELDS: Record<keyof SandboxPing, FieldType> = {
  unitId: "string",
  unitName: "string",
  eventTime: "dateTime",
  latitude: "numberOrNull",
  longitude: "numberOrNull",
  speed: "numberOrNull",
  street: "string",
  city: "string",
  region: "string",
  postalCode: "string",
  message: "string",
  externalId: "string",
  isNew: "boolean",
  statusMessage: "string",
};
const FIELD_LIST = Object.entries(FIELDS);

/** This many keys show enough; a batch of nonsense must not produce megabytes. */
const MAX_ERRORS = 100;

/** Checks the text of a whole body. */
export function checkBody(text: string): Checked {
  if (text.trim() === "") return invalid({ "": ["A non-empty request body is required."] });
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    return invalid({
      $: [`The body is not JSON: ${error instanceof Error ? error.message : String(error)}`],
    });
  }
  if (!Array.isArray(body))
    return invalid({ $: ["The JSON value could not be converted to an array of pings."] });
  const errors: SchemaErrors = {};
  const pings: SandboxPing[] = [];
  for (const [index, item] of body.entries()) {
    if (checkPing(item, `[${index}]`, errors)) pings.push(item);
    if (Object.keys(errors).length >= MAX_ERRORS) break;
  }
  return pings.length === body.length ? { kind: "valid", pings } : invalid(errors);
}

function checkPing(item: unknown, path: string, errors: SchemaErrors): item is SandboxPing {
  if (typeof item !== "object" || item === null || Array.isArray(item)) {
    errors[path] = ["The JSON value could not be converted to a ping."];
    return false;
  }
  let good = true;
  const values: Record<string, unknown> = { ...item };
  for (const [name, type] of FIELD_LIST) {
    const problem = checkField(name, type, values[name]);
    if (problem === null) continue;
    errors[`${path}.${name}`] = [problem];
    good = false;
  }
  for (const name of Object.keys(values)) {
    if (Object.hasOwn(FIELDS, name)) continue;
    errors[`${path}.${name}`] = [
      `The property ${name} is not defined and additional properties are not allowed.`,
    ];
    good = false;
  }
  return good;
}

function checkField(name: string, type: FieldType, value: unknown): string | null {
  if (value === undefined) return `The ${name} field is required.`;
  switch (type) {
    case "string":
      return typeof value === "string" ? null : unconvertible(name, "a string");
    case "boolean":
      return typeof value === "boolean" ? null : unconvertible(name, "a boolean");
    case "numberOrNull":
      // JSON.parse reads 1e999 as Infinity, which is no double that a server could store.
      return value === null || Number.isFinite(value) ? null : unconvertible(name, "a number or null");
    case "dateTime":
      return typeof value === "string" && isRfc3339(value)
        ? null
        : unconvertible(name, "a date-time with a zone");
    default:
      return type satisfies never;
  }
}

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:Z|[+-](\d\d):(\d\d))$/;

/** A date-time with its zone that exists in the calendar; leap seconds are refused, as .NET refuses them. */
function isRfc3339(text: string): boolean {
  const match = RFC_3339.exec(text);
  if (match === null) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, zoneHour = 0, zoneMinute = 0] = match
    .slice(1)
    .map((digits) => Number(digits ?? 0));
  const daysInMonth = new Date(Date.UTC(year, month, 0)).getUTCDate();
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth) return false;
  return hour < 24 && minute < 60 && second < 60 && zoneHour <= 14 && zoneMinute < 60;
}

function unconvertible(name: string, wanted: string): string {
  return `The value of ${name} could not be converted to ${wanted}.`;
}

function invalid(errors: SchemaErrors): Checked {
  return { kind: "invalid", errors };
}
