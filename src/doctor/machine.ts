/** Whether this machine gives the gateway what its configuration needs: open files, and the spool's disk. */

import { accessSync, constants, readdirSync, statfsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { divideDescriptors } from "../limits/descriptors.ts";
import { errorCode } from "../untrusted.ts";
import { descriptorNeedsOf } from "../wiring.ts";
import { type Checked, notWell, type Surroundings, type Task, well } from "./check.ts";
import { finding } from "./findings.ts";

export function machineTask(surroundings: Surroundings): Task {
  return {
    ...{ area: "machine", of: "", check: "open files" },
    run: async () => [openFiles(surroundings), ...spool(surroundings)],
  };
}

/** The gateway may run under another limit: started by another user, or in a container. */
function openFiles({ config, fileLimit }: Surroundings): Checked {
  const limit = fileLimit();
  const { lacking, webhook, mqtt } = divideDescriptors(descriptorNeedsOf(config), limit);
  if (lacking !== null) return notWell("open files", finding("descriptors_low", { limit, needed: lacking }));
  const room = `${webhook.total} webhook connections${mqtt.total > 0 ? ` and ${mqtt.total} devices` : ""}`;
  return well("open files", `${limit} may be open, which is room for ${room}`);
}

function spool({ config }: Surroundings): Checked[] {
  if (!config.spool) return [];
  const dir = resolve(config.spool.dir);
  const place = existingAbove(dir);
  if (place.kind === "unusable")
    return [notWell("spool", finding("spool_unwritable", { dir, code: place.code }))];
  const { bavail, bsize } = statfsSync(place.at);
  const free = bavail * bsize;
  const wanted = config.spool.maxBytes - bytesIn(dir);
  const [freeMb, wantedMb] = [Math.floor(free / 1e6), Math.ceil(wanted / 1e6)];
  return [
    free < wanted
      ? notWell("spool", finding("spool_disk_full", { dir, freeMb, wantedMb }))
      : well("spool", `${freeMb} MB free, ${wantedMb} MB may be wanted`),
  ];
}

/** The directory is made at the start; it, or the nearest existing one above it, must be writable. */
function existingAbove(dir: string): { kind: "usable"; at: string } | { kind: "unusable"; code: string } {
  for (let at = dir; ; at = dirname(at)) {
    try {
      if (!statSync(at).isDirectory()) return { kind: "unusable", code: "ENOTDIR" };
      accessSync(at, constants.W_OK | constants.X_OK);
      return { kind: "usable", at };
    } catch (error) {
      const code = errorCode(error) ?? "unknown";
      if (code !== "ENOENT" || at === dirname(at)) return { kind: "unusable", code };
    }
  }
}

function bytesIn(dir: string): number {
  try {
    return readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0);
  } catch {
    // It is not there yet, or a file went meanwhile.
    return 0;
  }
}
