/** Checks that certificates and keys are what their settings say, so that `check` finds it and not the first connection. */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { errorCode } from "../untrusted.ts";
import type { Report } from "./check-sources.ts";
import type { SettingPath } from "./problems.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

export function checkCertificates(
  at: SettingPath,
  files: { ca?: string | undefined; cert?: string | undefined; key?: string | undefined },
  report: Report,
): void {
  const read = <Thing>(name: "ca" | "cert" | "key", parse: (text: string) => Thing): Thing | null => {
    const file = files[name];
    if (file === undefined) return null;
    try {
      return parse(readFileSync(file, "utf8"));
    } catch (error) {
      report([...at, name], whatIsWrong(error));
      return null;
    }
  };
  read("ca", certificatesIn);
  const [own] = read("cert", certificatesIn) ?? [];
  const key = read("key", keyIn);
  if (!own || !key) return;
  if (!own.checkPrivateKey(key)) report([...at, "key"], "does not belong to the certificate");
  else if (!isAccepted(files)) {
    report([...at, "cert"], "is not accepted for TLS: its key is too short or its signature too weak");
  }
}

/** OpenSSL asks for more than that the files can be read. */
function isAccepted({
  cert = "",
  key = "",
}: {
  cert?: string | undefined;
  key?: string | undefined;
}): boolean {
  try {
    createSecureContext({ cert: readFileSync(cert), key: readFileSync(key) });
    return true;
  } catch {
    return false;
  }
}

class NotPem extends Error {}

function certificatesIn(text: string): X509Certificate[] {
  const found = text.match(CERTIFICATE) ?? [];
  if (found.length === 0) throw new NotPem("holds no certificate in PEM form");
  return found.map((pem) => {
    try {
      return new X509Certificate(pem);
    } catch (cause) {
      throw new NotPem("holds a certificate that is damaged", { cause });
    }
  });
}

function keyIn(text: string): KeyObject {
  if (/^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(text))
    throw new NotPem("is encrypted, and there is no setting for its passphrase");
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw new NotPem("holds no private key in PEM form", { cause });
  }
}

function whatIsWrong(error: unknown): string {
  if (error instanceof NotPem) return error.message;
  return `cannot be read (${errorCode(error) ?? "unreadable"})`;
}
