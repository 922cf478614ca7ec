/** Reads the keys that seal the secrets of tenants in Redis: they come from the environment, never from Redis or a file of settings. */

import { readFileSync } from "node:fs";
import { errorCode } from "../untrusted.ts";
import type { ConfigProblem } from "./problems.ts";
import type { Environment } from "./references.ts";

/** The variables that name them; one of the two is enough. */
export const SEAL_VARIABLES = ["WAYPOST_SEAL_KEY", "WAYPOST_SEAL_KEY_FILE"] as const;

export interface SealKeys {
  /** The first seals, each opens; empty where no key is set. */
  keys: readonly Buffer[];
  problems: ConfigProblem[];
}

const KEY_BYTES = 32;
const MAKE = "openssl rand -hex 32 makes one";

export function readSealKeys(env: Environment): SealKeys {
  const [inPlace, inFile] = SEAL_VARIABLES;
  const { [inPlace]: text, [inFile]: file } = env;
  if (text && file)
    return wrong(inPlace, `and ${inFile} are two ways to say one thing; leave one of them out`);
  if (text) return keysIn(inPlace, text);
  if (!file) return { keys: [], problems: [] };
  try {
    return keysIn(inFile, readFileSync(file, "utf8"));
  } catch (error) {
    return wrong(inFile, `names a file that cannot be read (${errorCode(error) ?? "unreadable"})`);
  }
}

/** `new,old` while the secrets are sealed anew. */
function keysIn(path: string, text: string): SealKeys {
  const keys = text.split(",").map((each) => keyIn(each.trim()));
  if (keys.length > 2) return wrong(path, "may hold two keys at most: the new one, a comma, and the old one");
  const right = keys.filter((key) => key !== null);
  if (right.length < keys.length)
    return wrong(path, `must hold keys of 32 bytes, as 64 hexadecimal digits or in base64; ${MAKE}`);
  if (right.some((key) => new Set(key).size < 8)) return wrong(path, `repeats itself; ${MAKE}`);
  const [first, second] = right;
  if (first && second && first.equals(second)) return wrong(path, "holds the same key twice");
  return { keys: right, problems: [] };
}

function keyIn(text: string): Buffer | null {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex");
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return null;
  const key = Buffer.from(text, "base64");
  return key.length === KEY_BYTES ? key : null;
}

function wrong(path: string, message: string): SealKeys {
  return { keys: [], problems: [{ path, message }] };
}
