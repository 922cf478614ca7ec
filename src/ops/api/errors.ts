/** The errors of the ops endpoint, as problem details of RFC 9457: each has a type, which docs/api.md explains. */

import { z } from "@hono/zod-openapi";
import type { Context, TypedResponse } from "hono";
import type { StatusCode } from "hono/utils/http-status";

/** Closed: a test holds docs/api.md to it. */
export const ERRORS = {
  bad_request: { status: 400, title: "The request cannot be understood" },
  unauthorized: { status: 401, title: "A token or a session is needed" },
  role: { status: 403, title: "The token may only read" },
  cross_site: { status: 403, title: "The request comes from another site" },
  not_found: { status: 404, title: "There is no such thing" },
  exists: { status: 409, title: "There is one of this name" },
  not_ours: { status: 409, title: "It cannot be changed here" },
  no_seal_key: { status: 409, title: "There is no key to seal secrets with" },
  changed: { status: 412, title: "It has been changed meanwhile" },
  wrong_document: { status: 422, title: "The document is wrong" },
  other_request: { status: 422, title: "The key belongs to another request" },
  no_condition: { status: 428, title: "Say which version is meant" },
  method_not_allowed: { status: 405, title: "This cannot be done here" },
  too_large: { status: 413, title: "The body is too large" },
  not_json: { status: 415, title: "The body is not JSON" },
  wrong_host: { status: 421, title: "The host name is not ours" },
  too_many_wrong_tokens: { status: 429, title: "Too many wrong tokens" },
  too_many_streams: { status: 429, title: "Too many open streams" },
  internal_error: { status: 500, title: "The gateway made a mistake" },
  unavailable: { status: 503, title: "Redis does not answer" },
} as const satisfies Record<string, { status: StatusCode; title: string }>;

export type ErrorType = keyof typeof ERRORS;
type StatusOf<T extends ErrorType> = (typeof ERRORS)[T]["status"];

/** What every error type begins with; the rest is its name. */
const TYPE_PREFIX = "urn:waypost:error:";
const CONTENT_TYPE = "application/problem+json";

export const errorSchema = z
  .object({
    type: z.string().openapi({ description: "Which error it is: docs/api.md explains each type." }),
    title: z.string().openapi({ description: "The same for every error of the type." }),
    status: z.number().int().openapi({ description: "The HTTP status, again." }),
    detail: z.string().openapi({ description: "What is wrong with this request, and what to do." }),
    instance: z.string().openapi({ description: "The path that was asked." }),
    errors: z
      .array(
        z.object({
          parameter: z.string().optional().openapi({ description: "A parameter, or a path into the body." }),
          pointer: z
            .string()
            .optional()
            .openapi({ description: "The place in the document, as a JSON pointer (RFC 6901)." }),
          detail: z.string(),
        }),
      )
      .optional()
      .openapi({ description: "Each parameter, or each place of a document, that is wrong." }),
  })
  .openapi("Error", { description: "Problem details of RFC 9457." });

export type ErrorBody = z.output<typeof errorSchema>;

/** Details for the types whose requests are all wrong in the same way. */
const DETAILS: Partial<Record<ErrorType, string>> = {
  not_found: "It does not exist, or this token may not see it.",
  unavailable: "Redis does not answer, so this cannot be told now. GET /api/v1/status says more.",
  internal_error: "The log has the reason.",
};

function errorBody(type: ErrorType, instance: string, detail = DETAILS[type]): ErrorBody {
  const { status, title } = ERRORS[type];
  return { type: `${TYPE_PREFIX}${type}`, title, status, detail: detail ?? title, instance };
}

/** An answer that refuses the request. */
export function refused<T extends ErrorType>(
  c: Context,
  type: T,
  detail?: string,
  errors?: ErrorBody["errors"],
): Response & TypedResponse<ErrorBody, StatusOf<T>, "json"> {
  const body = { ...errorBody(type, c.req.path, detail), ...(errors === undefined ? {} : { errors }) };
  const { status }: { status: StatusOf<T> } = ERRORS[type];
  return c.json(body, status, { "content-type": CONTENT_TYPE });
}

/** The answer to a request whose query or body its schema refuses. */
export function badRequest(c: Context, { issues }: z.ZodError) {
  return wrongParameters(
    c,
    issues.flatMap((issue) => {
      const at = issue.path.join(".");
      if (issue.code !== "unrecognized_keys") return [{ parameter: at || "body", detail: issue.message }];
      return issue.keys.map((key) => ({
        parameter: at === "" ? key : `${at}.${key}`,
        detail: "is no parameter here",
      }));
    }),
  );
}

export function wrongParameters(c: Context, errors: { parameter: string; detail: string }[]) {
  const detail = errors.map((each) => `${each.parameter}: ${each.detail}`).join("; ");
  return refused(c, "bad_request", detail, errors);
}

/** To a method that the path does not take. */
export function methodNotAllowed(c: Context, methods: Iterable<string>) {
  const allow = [...methods].sort().join(", ");
  c.header("allow", allow);
  return refused(c, "method_not_allowed", `It takes ${allow}.`);
}

type Documented<T extends ErrorType> = {
  [S in StatusOf<T>]: {
    description: string;
    content: { [CONTENT_TYPE]: { schema: typeof errorSchema; example: ErrorBody } };
  };
};

/** The part of a route's description that says how it can be refused; every route behind the door adds `unauthorized`. */
export function refusals<T extends ErrorType>(...types: T[]): Documented<T | "unauthorized"> {
  const documented = ["unauthorized" as const, ...types].map((type) => [
    ERRORS[type].status,
    {
      description: ERRORS[type].title,
      content: {
        [CONTENT_TYPE]: { schema: errorSchema, example: errorBody(type, "/api/v1/status") },
      },
    },
  ]);
  // Object.fromEntries forgets which keys belong to which values.
  return Object.fromEntries(documented) as Documented<T | "unauthorized">;
}

export function badCursor(c: Context) {
  const detail = "is none that this list handed out: leave it out to begin anew";
  return wrongParameters(c, [{ parameter: "cursor", detail }]);
}
