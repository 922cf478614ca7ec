/** Seals secrets, so that Redis holds none in clear: AES-256-GCM under a key from outside, each bound to its place. */

import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

export interface Seal {
  /** Whether there is a key to seal with. */
  canSeal: boolean;
  /** Throws without a key. `place`: whose secret it is, and where in the document. */
  seal(secret: string, place: string): string;
  open(sealed: string, place: string): Opened;
  /** Whether it is sealed with the first key. */
  isCurrent(sealed: string): boolean;
}

export type Opened =
  | { kind: "open"; secret: string }
  /** `unknown_key`: it was sealed with a key that is not set; `broken`: it was changed, or moved from another place. */
  | { kind: "closed"; why: "unknown_key" | "broken" };

const ALGORITHM = "aes-256-gcm";
/** NIST SP 800-38D §8.2: 96 bits, drawn anew for each secret. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PREFIX = "sealed:1:";

export function isSealed(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** The first key seals; each opens what it sealed. */
export function createSeal(keys: readonly Buffer[]): Seal {
  const known = keys.map((key) => ({ id: idOf(key), key }));
  const [current] = known;

  return {
    canSeal: current !== undefined,
    seal(secret, place) {
      if (!current) throw new Error("No seal key is set.");
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, current.key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(place));
      const text = Buffer.concat([nonce, cipher.update(secret, "utf8"), cipher.final(), cipher.getAuthTag()]);
      return `${PREFIX}${current.id}:${text.toString("base64url")}`;
    },
    open(sealed, place) {
      const [id = "", text = ""] = sealed.slice(PREFIX.length).split(":");
      const own = known.find((each) => each.id === id);
      if (!own) return { kind: "closed", why: "unknown_key" };
      const bytes = Buffer.from(text, "base64url");
      if (bytes.length < NONCE_BYTES + TAG_BYTES) return { kind: "closed", why: "broken" };
      const decipher = createDecipheriv(ALGORITHM, own.key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(Buffer.from(place));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        const secret = Buffer.concat([
          decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)),
          decipher.final(),
        ]);
        return { kind: "open", secret: secret.toString("utf8") };
      } catch {
        return { kind: "closed", why: "broken" };
      }
    },
    isCurrent: (sealed) => current !== undefined && sealed.startsWith(`${PREFIX}${current.id}:`),
  };
}

/** Names a key without telling anything about it. */
function idOf(key: Buffer): string {
  return createHash("sha256").update("waypost seal key").update(key).digest("hex").slice(0, 8);
}
