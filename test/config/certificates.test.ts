/** Certificates and keys are looked into when the configuration is checked, and not when the first connection is made. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { because } from "../support/because.ts";
import {
  type Authority,
  type Certificate,
  createAuthority,
  whyNotCertificates,
} from "../support/certificates.ts";

describe.skipIf(whyNotCertificates() !== null)(`certificates${because(whyNotCertificates())}`, () => {
  let authority: Authority;
  let own: Certificate;
  let other: Certificate;
  const dir = mkdtempSync(join(tmpdir(), "waypost-certificates-"));
  beforeAll(() => {
    authority = createAuthority();
    own = authority.sign("own");
    other = authority.sign("other");
  });
  afterAll(() => {
    authority.remove();
    rmSync(dir, { recursive: true, force: true });
  });

  function file(name: string, text: string): string {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  }

  type Files = { ca?: string; cert?: string; key?: string };

  /** Path and message of each problem, the files being those of a broker, the webhooks' or the embedded broker's. */
  function problemsWith({ hub, http, listen }: { hub?: Files; http?: Files; listen?: Files }): string[] {
    const loaded = loadConfig({
      settings: {
        ops: { token: "a-token-of-sixteen" },
        sources: { vans: { vendor: "radio", destination: "acme", mqtt: { broker: "hub" } } },
        destinations: {
          acme: { tenant: "1", provider: "p", appKey: "k", clientId: "c", clientSecret: "s" },
        },
        mqtt: {
          brokers: { hub: { url: "mqtts://hub.test", clientId: "waypost", ...hub } },
          ...(listen
            ? { listen: { tls: listen, devices: [{ username: "d", password: "p", source: "vans" }] } }
            : {}),
        },
        ...(http ? { http: { tls: http } } : {}),
      },
      env: {},
      allowWeak: true,
      adapters: [
        { vendor: "radio", transports: ["mqtt"], auth: [], speedUnit: "optional", topics: ["radio/#"] },
      ],
    });
    return "config" in loaded ? [] : loaded.problems.map(({ path, message }) => `${path} ${message}`);
  }

  test("right ones are right, a bundle of authorities too", () => {
    const bundle = file("bundle.pem", `# ours\n${authority.ca}\n${own.cert}`);
    const right = { cert: own.certFile, key: own.keyFile, ca: bundle };
    expect(problemsWith({ hub: right, http: right })).toEqual([]);
  });

  test("each wrong one is named", () => {
    const text = file("text.pem", "not a certificate");
    const damaged = file("damaged.pem", authority.ca.replace(/\n[\w+/]{20}/, "\n"));
    const sealed = file(
      "sealed.pem",
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    expect(problemsWith({ hub: { ca: damaged, cert: text, key: text } })).toEqual([
      "mqtt.brokers.hub.ca holds a certificate that is damaged",
      "mqtt.brokers.hub.cert holds no certificate in PEM form",
      "mqtt.brokers.hub.key holds no private key in PEM form",
    ]);
    expect(problemsWith({ http: { cert: own.certFile, key: other.keyFile } })).toEqual([
      "http.tls.key does not belong to the certificate",
    ]);
    expect(problemsWith({ http: { cert: own.keyFile, key: own.certFile } })).toEqual([
      "http.tls.cert holds no certificate in PEM form",
      "http.tls.key holds no private key in PEM form",
    ]);
    expect(problemsWith({ http: { cert: own.certFile, key: sealed } })).toEqual([
      "http.tls.key is encrypted, and there is no setting for its passphrase",
    ]);
    expect(problemsWith({ listen: { cert: text, key: own.keyFile } })).toContain(
      "mqtt.listen.tls.cert holds no certificate in PEM form",
    );
  });

  test("a file that is not there is one problem, not two", () => {
    const problems = problemsWith({ hub: { ca: join(dir, "nowhere.pem") } });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^mqtt\.brokers\.hub\.ca names a file that cannot be read/);
  });
});
