/** What a login leaves for the next one, such as a refresh token that changes each time: stored, sealed, before it is used. */

import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from "node:crypto";
import { z } from "zod";
import { parsed } from "../../adapters/kit/pull.ts";
import type { CursorStore } from "./cursor.ts";

export type KeptValues = Readonly<Record<string, string>>;

export interface Kept {
  /** The newest values. Rejects while the store cannot be read, or what is newer than it cannot be written. */
  get(): Promise<KeptValues>;
  /** Rejects while it cannot be stored; it is then stored by the next `get`. */
  put(values: KeptValues): Promise<void>;
}

/** As it is written. */
const schema = z.object({
  /** Of the configured first values: others begin anew, as an operator wants who has authorised us again. */
  first: z.string(),
  /** Initialization vector, tag and ciphertext of AES-256-GCM, base64. */
  sealed: z.string(),
});

const valuesSchema = z.record(z.string(), z.string());

const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Sealed with a key made of the source's own secret, so that a copy of the storage alone does not let anybody in; scrypt,
 * since a person may have chosen the secret. Where the secret has changed, what was kept cannot be opened any more and the
 * first values are used again.
 */
export function createKept({
  source,
  first,
  secret,
  store,
}: {
  source: string;
  /** Null where the vendor's logins leave nothing. */
  first: KeptValues | null;
  secret: string;
  store: CursorStore;
}): Kept {
  if (first === null) return NOTHING;
  const name = `kept:${source}`;
  const digest = createHash("sha256").update(JSON.stringify(first)).digest("base64url");
  let key: Buffer | null = null;
  /** As it was read or written last. */
  let here: { text: string | null; values: KeptValues } | null = null;
  /** Newer than the store. */
  let unstored: KeptValues | null = null;

  const sealingKey = (): Buffer => {
    key ??= scryptSync(secret, `waypost:${source}`, 32);
    return key;
  };

  async function load(): Promise<{ text: string | null; values: KeptValues }> {
    const text = await store.load(name);
    const found = schema.safeParse(text === null ? null : parsed(text)).data;
    if (found?.first !== digest) return { text, values: first ?? {} };
    return { text, values: { ...first, ...opened(found.sealed, sealingKey()) } };
  }

  async function write(values: KeptValues): Promise<void> {
    here ??= await load();
    const whole = { ...here.values, ...values };
    const text = JSON.stringify({ first: digest, sealed: sealed(whole, sealingKey()) });
    if (!(await store.replace(name, here.text, text))) {
      // Written by a process that held the lease meanwhile; ours is newer, since it is what the vendor said last.
      here = { text: await store.load(name), values: here.values };
      throw new Error(`What is kept for ${source} was written by another process.`);
    }
    here = { text, values: whole };
    unstored = null;
  }

  return {
    async get() {
      if (unstored) await write(unstored);
      here ??= await load();
      return here.values;
    },
    async put(values) {
      unstored = { ...unstored, ...values };
      await write(unstored);
    },
  };
}

const NOTHING: Kept = { get: () => Promise.resolve({}), put: () => Promise.resolve() };

function sealed(values: KeptValues, key: Buffer): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const text = Buffer.concat([cipher.update(JSON.stringify(values), "utf8"), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), text]).toString("base64");
}

/** Nothing where it was sealed with another secret. */
function opened(text: string, key: Buffer): KeptValues {
  const bytes = Buffer.from(text, "base64");
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, IV_BYTES));
    decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
    return valuesSchema.safeParse(parsed(plain.toString())).data ?? {};
  } catch {
    return {};
  }
}
