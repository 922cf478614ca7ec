/** One configured request: method, address, proof and body, filled with what is known when it is made. */

import { z } from "zod";
import type { PullRequest } from "../kit/pull.ts";
import {
  filled,
  filledTree,
  inHeader,
  inPath,
  inQuery,
  namesIn,
  scalar,
  template,
  tree,
  type Values,
} from "./template.ts";

const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "must be the name of an HTTP header");

/** Headers that belong to the connection, not to the vendor. */
const OURS = /^(host|connection|content-length|transfer-encoding|upgrade|te|trailer|proxy-.*)$/i;

const path = template
  .refine((text) => text.startsWith("/"), "must begin with a slash: the host stands in baseUrl")
  // `//host` would be another host.
  .refine((text) => !/^\/[/\\]|\\/.test(text), "must be a path, not another host")
  // What stands behind # is not sent.
  .refine((text) => !/[#\s]/.test(text), "must not hold # or a space: write %23 or %20");

export const requestShape = {
  method: z.enum(["GET", "POST"]).optional(),
  path: path.optional(),
  /** Another host than that of `baseUrl`; it must be one of `hosts`. */
  url: template
    .refine(
      (text) => /^https?:\/\/[^{}\s]+$/.test(text.split(/[/?#]/).slice(0, 3).join("/")),
      "must be an address whose host holds no placeholder",
    )
    .optional(),
  query: z.record(z.string(), scalar).optional(),
  headers: z
    .record(
      headerName.refine((name) => !OURS.test(name), "is set by the connection"),
      template,
    )
    .optional(),
  /** `Authorization: Bearer …`. */
  bearer: template.optional(),
  /** `Authorization: Basic …` over this text; `true`: `{username}:{secret}`. */
  basic: z.union([z.literal(true), template], "must be true, or the text that is encoded").optional(),
  json: tree.optional(),
  /** An object is written as JSON into its field. */
  form: z.record(z.string(), z.union([scalar, z.record(z.string(), tree), z.array(tree)])).optional(),
};

export type RequestSpec = {
  [Key in keyof typeof requestShape]?: z.output<(typeof requestShape)[Key]> | undefined;
};

/** Problems that only show between the settings of one request. */
export function requestProblems(spec: RequestSpec): [keyof RequestSpec, string][] {
  const problems: [keyof RequestSpec, string][] = [];
  if (spec.path === undefined && spec.url === undefined) problems.push(["path", "is required"]);
  if (spec.path !== undefined && spec.url !== undefined) problems.push(["url", "stands in place of path"]);
  if (spec.json !== undefined && spec.form) problems.push(["form", "does not go with json"]);
  if (spec.bearer !== undefined && spec.basic !== undefined)
    problems.push(["basic", "does not go with bearer"]);
  if (spec.method === "GET" && (spec.json !== undefined || spec.form))
    problems.push(["method", "must be POST where there is a body"]);
  return problems;
}

/** Of this request alone, whatever else stands beside its settings. */
export function placeholdersOf({
  path,
  url,
  query,
  headers,
  bearer,
  basic,
  json,
  form,
}: RequestSpec): string[] {
  const proof = basic === true ? "{username}:{secret}" : basic;
  return namesIn([path, url, query, headers, bearer, proof, json, form]);
}

export function requestOf(spec: RequestSpec, baseUrl: string, values: Values): PullRequest {
  const hasBody = spec.json !== undefined || spec.form !== undefined;
  const method = spec.method ?? (hasBody ? "POST" : "GET");
  const address = filled(spec.url ?? `${baseUrl}${spec.path ?? ""}`, values, inPath) ?? "";
  return {
    method,
    url: withQuery(address, spec.query ?? {}, values),
    headers: headersOf(spec, values),
    ...bodyOf(spec, values),
  };
}

function withQuery(address: string, query: NonNullable<RequestSpec["query"]>, values: Values): string {
  const parts = Object.entries(query).flatMap(([name, value]) => {
    const text = filled(String(value), values);
    return text === null ? [] : [`${inQuery(name)}=${inQuery(text)}`];
  });
  if (parts.length === 0) return address;
  return `${address}${address.includes("?") ? "&" : "?"}${parts.join("&")}`;
}

function headersOf({ headers = {}, bearer, basic, json, form }: RequestSpec, values: Values) {
  const own = Object.entries(headers).flatMap(([name, text]) => {
    const value = filled(text, values, inHeader);
    return value === null ? [] : [[name.toLowerCase(), value] as const];
  });
  const whole = basic === true ? "{username}:{secret}" : basic;
  return {
    accept: "application/json",
    ...(json !== undefined && { "content-type": "application/json" }),
    ...(form && { "content-type": "application/x-www-form-urlencoded" }),
    ...(bearer !== undefined && { authorization: `Bearer ${filled(bearer, values, inHeader) ?? ""}` }),
    ...(whole !== undefined && {
      authorization: `Basic ${Buffer.from(filled(whole, values) ?? "").toString("base64")}`,
    }),
    ...Object.fromEntries(own),
  };
}

function bodyOf({ json, form }: RequestSpec, values: Values): { body?: string } {
  if (json !== undefined) return { body: JSON.stringify(filledTree(json, values)) };
  if (!form) return {};
  const fields = Object.entries(form).flatMap(([name, value]): [string, string][] => {
    if (typeof value === "object") return [[name, JSON.stringify(filledTree(value, values))]];
    const text = filled(String(value), values);
    return text === null ? [] : [[name, text]];
  });
  return { body: new URLSearchParams(fields).toString() };
}
