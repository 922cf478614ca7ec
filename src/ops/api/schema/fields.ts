/** Fields that many answers have. */

import { z } from "@hono/zod-openapi";

export { z };

export const at = (description: string) =>
  z.iso.datetime().openapi({ description, example: "2026-11-20T18:30:00.000Z" });

export const atOrNull = (description: string) => at(description).nullable();

export const count = (description?: string) =>
  z
    .number()
    .int()
    .openapi(description === undefined ? {} : { description });

export const ms = (description?: string) =>
  z.number().openapi(description === undefined ? {} : { description });

export const msOrNull = (description?: string) => ms(description).nullable();

/** Reason → count. */
export const counts = (description: string) => z.record(z.string(), z.number()).openapi({ description });

/** A list that its bound keeps short, or one page of a long one. */
export function page<T extends z.ZodType>(item: T, next: z.ZodNullable<z.ZodString>) {
  return z.object({ items: z.array(item), next });
}

/** What a time in a query may look like. */
export const timeParameter = (description: string) =>
  z.iso
    .datetime({ offset: true, error: "must be a time such as 2026-11-20T14:00:00Z" })
    .openapi({ description, example: "2026-11-20T12:00:00Z" });

/** A name of the configuration. */
export const nameParameter = (description: string, example: string) =>
  z.string().min(1).max(100).openapi({ description, example });

export const policySchema = z
  .object({ where: z.string(), name: z.string(), value: z.string() })
  .openapi("Policy", { description: "A setting that decides what happens to a position." });
