/** Joins the documents of a configuration and checks what no single one shows: that their names and settings fit together. */

import { isRecord } from "../untrusted.ts";
import { checkMain, checkRelationsAcross } from "./check.ts";
import type { AdapterFacts } from "./check-sources.ts";
import type { DestinationConfig, ListenConfig, SourceConfig } from "./config.ts";
import type { Document } from "./documents.ts";
import { type Finding, pathText, type SettingPath } from "./problems.ts";
import type { ValidSettings } from "./valid-settings.ts";

/** A finding, and the document it is about. */
export interface Placed extends Finding {
  document: Document;
}

/** The document and the path in it that a path of the joined settings stands for. */
type PlaceOf = (path: SettingPath) => { document: Document; path: SettingPath };

/** `mayBeEmpty`: tenants may come while the gateway runs. */
export function checkTogether(
  main: Document,
  tenants: readonly Document[],
  adapters: readonly AdapterFacts[],
  mayBeEmpty: boolean,
): Placed[] {
  const documents = [main, ...tenants];
  const all = joined(main, tenants);
  const placeOf = placesIn(main, documents);
  const findings: Placed[] = checkMain(main.valid).map((finding) => ({ ...finding, document: main }));
  for (const { path, message } of checkRelationsAcross(all, adapters)) {
    findings.push({ ...placeOf(path), message });
  }
  findings.push(...namesThatMeet(documents));
  if (!mayBeEmpty) findings.push(...emptiness(main, all));
  return findings;
}

function joined(main: Document, tenants: readonly Document[]): ValidSettings {
  const { valid } = main;
  if (tenants.length === 0) return valid;
  const sources = new Map<string, SourceConfig>();
  const destinations = new Map<string, DestinationConfig>();
  const brokers = new Map(valid.brokers);
  const devices: ListenConfig["devices"][number][] = [];
  const named = { sources: new Set<string>(), destinations: new Set<string>(), brokers: new Set<string>() };
  for (const { valid: own } of [main, ...tenants]) {
    for (const [name, source] of own.sources) sources.set(name, source);
    for (const [name, destination] of own.destinations) destinations.set(name, destination);
    for (const [name, broker] of own.brokers) brokers.set(name, broker);
    devices.push(...(own.listen?.devices ?? []));
    for (const kind of ["sources", "destinations", "brokers"] as const)
      for (const name of own.named[kind]) named[kind].add(name);
  }
  const listen = valid.listen && { ...valid.listen, devices };
  return {
    ...valid,
    sources,
    destinations,
    brokers,
    listen,
    named: { ...named, listen: valid.named.listen },
  };
}

/** What each name of a joined configuration belongs to. */
function placesIn(main: Document, documents: readonly Document[]): PlaceOf {
  const owners = new Map<string, Document>();
  /** Where the devices of each document begin in the joined list. */
  const starts: { document: Document; from: number }[] = [];
  let devices = 0;
  for (const document of documents) {
    const { named, listen } = document.valid;
    for (const name of named.sources) owners.set(`sources ${name}`, document);
    for (const name of named.destinations) owners.set(`destinations ${name}`, document);
    for (const name of named.brokers) owners.set(`brokers ${name}`, document);
    starts.push({ document, from: devices });
    devices += listen?.devices.length ?? 0;
  }
  return (path) => {
    const [section, name = "", third = "", fourth] = path;
    if (section === "sources" || section === "destinations")
      return { document: owners.get(`${section} ${name}`) ?? main, path };
    if (section !== "mqtt") return { document: main, path };
    if (name === "brokers") return { document: owners.get(`brokers ${third}`) ?? main, path };
    if (name !== "listen" || third !== "devices" || typeof fourth !== "number")
      return { document: main, path };
    const place = starts.findLast(({ from }) => from <= fourth);
    if (!place) return { document: main, path };
    return {
      document: place.document,
      path: ["mqtt", "listen", "devices", fourth - place.from, ...path.slice(4)],
    };
  };
}

/** A name of sources, destinations or brokers that stands in two documents. */
function namesThatMeet(documents: readonly Document[]): Placed[] {
  const found: Placed[] = [];
  for (const [kind, section] of [
    ["sources", ["sources"]],
    ["destinations", ["destinations"]],
    ["brokers", ["mqtt", "brokers"]],
  ] as const) {
    const first = new Map<string, Document>();
    for (const document of documents) {
      for (const name of document.valid.named[kind]) {
        const other = first.get(name);
        if (other === undefined) first.set(name, document);
        else {
          const message = `is a name that ${documentText(other)} has already: choose another`;
          found.push({ document, path: [...section, name], message });
        }
      }
    }
  }
  return found;
}

export function documentText({ tenant }: Document): string {
  return tenant === null ? "the main configuration" : `tenant ${tenant.name}`;
}

function emptiness(main: Document, { named, listen }: ValidSettings): Placed[] {
  const found: Placed[] = [];
  for (const kind of ["sources", "destinations"] as const) {
    const isReported = main.findings.some(({ path }) => pathText(path) === kind);
    if (named[kind].size > 0 || isReported || !isRecord(main.raw)) continue;
    const message = main.raw[kind] === undefined ? "is required" : "must name at least one";
    found.push({ document: main, path: [kind], message });
  }
  if (listen && listen.devices.length === 0) {
    const path = ["mqtt", "listen", "devices"];
    found.push({ document: main, path, message: "must be at least 1 entries" });
  }
  return found;
}
