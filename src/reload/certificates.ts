/** Has the ports use a certificate that was renewed, for connections from then on. */

import { stampsOf } from "../config/stamps.ts";
import type { Change } from "./changes.ts";

interface Tls {
  cert: string;
  key: string;
  ca?: string | undefined;
}

/** A port with TLS of its own. */
export interface TlsPort {
  /** By which the operator knows it: `http.tls`. */
  setting: string;
  /** File names; undefined without TLS. */
  tls: Tls | undefined;
  /** Reads the files and uses them. */
  renew(tls: Tls): void;
}

export function createCertificates(ports: readonly TlsPort[]): { renewed(): Change[] } {
  const stampOf = ({ tls }: TlsPort) =>
    tls === undefined
      ? ""
      : JSON.stringify([...stampsOf([tls.cert, tls.key, ...(tls.ca === undefined ? [] : [tls.ca])])]);
  const known = new Map(ports.map((port) => [port, stampOf(port)]));
  return {
    renewed() {
      const changes: Change[] = [];
      for (const port of ports) {
        const stamp = stampOf(port);
        if (port.tls === undefined || known.get(port) === stamp) continue;
        port.renew(port.tls);
        known.set(port, stamp);
        changes.push({ kind: "setting", name: port.setting, change: "changed" });
      }
      return changes;
    },
  };
}
