/** Makes a certificate authority of a test's own, with the OpenSSL on this machine. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../sandbox/owned-process.ts";

export interface Certificate {
  cert: string;
  key: string;
  certFile: string;
  keyFile: string;
}

export interface Authority {
  ca: string;
  caFile: string;
  /** Signs a certificate for localhost, 127.0.0.1 and the given name. */
  sign(name: string): Certificate;
  remove(): void;
}

/** Why tests that need certificates cannot run here, or null when they can. */
export function whyNotCertificates(): string | null {
  return findProgram(["openssl"]) === null ? "openssl is not installed (apt-get install openssl)" : null;
}

export function createAuthority(): Authority {
  const dir = mkdtempSync(join(tmpdir(), "waypost-ca-"));
  const openssl = (...args: string[]): void =>
    void execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const text = (file: string): string => readFileSync(join(dir, file), "utf8");
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-days",
    "2",
    "-subj",
    "/CN=test ca",
  );

  function sign(name: string): Certificate {
    openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    writeFileSync(join(dir, `${name}.ext`), `subjectAltName=DNS:localhost,DNS:${name},IP:127.0.0.1\n`);
    const from = ["-in", `${name}.csr`, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl("x509", "-req", ...from, "-out", `${name}.crt`, "-days", "2", "-extfile", `${name}.ext`);
    return {
      cert: text(`${name}.crt`),
      key: text(`${name}.key`),
      certFile: join(dir, `${name}.crt`),
      keyFile: join(dir, `${name}.key`),
    };
  }

  return {
    ca: text("ca.crt"),
    caFile: join(dir, "ca.crt"),
    sign,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
