/** Makes links that open one tenant's page for a while, and knows them again: they end with the token that made them. */

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { OpsToken } from "../../config/ops-tokens.ts";

export interface Link {
  tenant: string;
  /** Those the tenant had when the link was made. */
  destinations: readonly string[];
  id: string;
  /** Name of the token that made it. */
  by: string;
  /** UTC milliseconds since 1970. */
  endsAtMs: number;
}

export interface Links {
  make(
    by: OpsToken,
    of: Pick<Link, "tenant" | "destinations">,
    forMs: number,
  ): { path: string; endsAtMs: number };
  /** Null for what is no link of ours, or one that has ended. */
  read(text: string): Link | null;
}

/** Where links lead. */
export const OPEN_PATH = "/open/";

/** `tokens`: those of the configuration in force. */
export function createLinks(tokens: () => readonly OpsToken[], now: () => number): Links {
  return {
    make(by, { tenant, destinations }, forMs) {
      const endsAtMs = now() + forMs;
      const name = Buffer.from(JSON.stringify([tenant, ...destinations])).toString("base64url");
      const signed = `${by.name}.${name}.${randomBytes(12).toString("hex")}.${endsAtMs}`;
      return { path: `${OPEN_PATH}${signed}.${sign(by, signed)}`, endsAtMs };
    },
    read(text) {
      const [by = "", name = "", id = "", endsAt = "", signature = ""] = text.split(".");
      const token = tokens().find((each) => each.name === by);
      const expected = token && Buffer.from(sign(token, `${by}.${name}.${id}.${endsAt}`));
      const given = Buffer.from(signature);
      if (!expected || given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
      if (Number(endsAt) <= now()) return null;
      // It is signed, so it is as it was made.
      const [tenant = "", ...destinations]: string[] = JSON.parse(Buffer.from(name, "base64url").toString());
      return { tenant, destinations, id, by, endsAtMs: Number(endsAt) };
    },
  };
}

/** Derived from the token, so that every process knows the key, and a token that goes takes its links along. */
function sign({ token }: OpsToken, text: string): string {
  const key = createHmac("sha256", token).update("waypost tenant link").digest();
  return createHmac("sha256", key).update(text).digest("base64url");
}
