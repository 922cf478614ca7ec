/** Turns the fleet's vehicles into its vendors' messages, flaws included; the same seed and start give the same messages. */

import { createCity } from "./city.ts";
import { createRandom, type Random } from "./random.ts";
import { createReceiver, type Fix, type Receiver, type ReceiverHabits } from "./receiver.ts";
import { createVehicle, type Vehicle } from "./vehicle.ts";
import type { DeviceId, FleetSource, Vendor, Written } from "./vendor.ts";
import { VENDORS } from "./vendors.ts";

/** What is special about a message. A resend repeats earlier bytes; a late one comes after newer ones. */
export const MESSAGE_KINDS = [
  "positions",
  "late",
  "resend",
  "event",
  "test",
  "malformed",
  "unauthenticated",
] as const;
export type MessageKind = (typeof MESSAGE_KINDS)[number];

/** A vendor's message, ready to be sent at an instant. */
export interface FleetMessage {
  source: FleetSource;
  kind: MessageKind;
  deviceId: string;
  /** UTC milliseconds since 1970. */
  sendAt: number;
  body: string;
  /** The fixes that can be read out of it. */
  fixes: readonly Fix[];
  way: { via: "webhook"; headers: Record<string, string> } | { via: "mqtt"; topic: string; qos: 0 | 1 };
}

export interface FleetDevice extends DeviceId {
  vendor: Vendor;
  habits: ReceiverHabits;
  /** It never reports after this instant, milliseconds from the start. */
  silentAfterMs: number;
}

/** Which devices there are; `webhooks` leaves the vendors out that need a broker. */
export interface FleetPlan {
  seed: string | number;
  vehicles: number;
  ways: "webhooks" | "webhooks_and_mqtt";
  /** No device has a flaw of its own, and no message is cut or has a wrong secret. */
  clean?: boolean | undefined;
}

/** A secret or broker password for each source. */
export type FleetSecrets = Readonly<Record<FleetSource, string>>;

/** Shares of messages that go wrong in transit; a little more than in good fleets, so that minutes show them all. */
const RESEND_SHARE = 0.01;
const LATE_SHARE = 0.004;
const MALFORMED_SHARE = 0.002;
const UNPROVEN_SHARE = 0.002;
/** Shares of devices with a flaw of their own, and what it is; each flaw has other devices, and at least one. */
const ODD_DEVICES: readonly { share: number; habits?: Partial<ReceiverHabits>; silentAfterMs?: number }[] = [
  { share: 0, silentAfterMs: 45_000 },
  // Gateways accept the first two, and reject the third.
  { share: 0.02, habits: { clockErrorMs: 90_000 } },
  { share: 0.01, habits: { clockErrorMs: -240_000 } },
  { share: 0, habits: { clockErrorMs: 600_000 } },
  { share: 0.03, habits: { nullIslandShare: 0.1 } },
  { share: 0.03, habits: { speedSentinelShare: 0.2 } },
];
const SOUND_HABITS: ReceiverHabits = { clockErrorMs: 0, nullIslandShare: 0, speedSentinelShare: 0 };
/** Smaller fleets have no flaws: one odd device of each kind would be too large a share of them. */
const SMALL_FLEET = 20;
/** No faster than this: several vendors write whole seconds, and two fixes in one second would be one. */
const MIN_FIX_EVERY_MS = 1000;
/** From the vehicle through the mobile network and the vendor's own cloud. */
const TRANSIT_MS = [60, 900] as const;
const RESEND_AFTER_MS = [800, 4000] as const;
const LATE_BY_MS = [20_000, 60_000] as const;

/** The devices of a fleet, without setting them in motion. */
export function planFleet({ seed, vehicles, ways, clean = false }: FleetPlan): FleetDevice[] {
  const vendors = VENDORS.filter((vendor) => ways === "webhooks_and_mqtt" || vendor.way.via === "webhook");
  const whole = vendors.reduce((sum, { share }) => sum + share, 0);
  const random = createRandom(seed).fork("devices");
  const oddities =
    clean || vehicles < SMALL_FLEET
      ? []
      : ODD_DEVICES.flatMap((odd) => atLeastOne(odd, odd.share * vehicles));
  const lots = Array.from({ length: vehicles }, (_, index) => ({ index, lot: random.next() }));
  const odd = new Map(lots.sort((a, b) => a.lot - b.lot).map(({ index }, place) => [index, oddities[place]]));
  return Array.from({ length: vehicles }, (_, index) => {
    const number = index + 1;
    const vendor = vendorAt(vendors, ((index + 0.5) / vehicles) * whole);
    const { habits = {}, silentAfterMs = Number.POSITIVE_INFINITY } = odd.get(index) ?? {};
    const id = vendor.deviceId(number, random.fork(String(number)));
    return { number, id, vendor, habits: { ...SOUND_HABITS, ...habits }, silentAfterMs };
  });
}

function atLeastOne<T>(item: T, count: number): T[] {
  return Array.from({ length: Math.max(1, Math.round(count)) }, () => item);
}

function vendorAt(vendors: readonly Vendor[], position: number): Vendor {
  let reached = 0;
  for (const vendor of vendors) {
    reached += vendor.share;
    if (position < reached) return vendor;
  }
  throw new Error(`No vendor at ${position}: the shares end at ${reached}.`);
}

export interface TrafficOptions extends FleetPlan {
  secrets: FleetSecrets;
  /** UTC milliseconds since 1970. */
  startMs: number;
  /** Devices report this many times as often as their vendor's do, but at most once a second. */
  speedup?: number;
}

export interface Traffic {
  devices: readonly FleetDevice[];
  /** Moves on to an instant; the messages that are due by then, in the order of sending. */
  advance(toMs: number): FleetMessage[];
}

interface Running {
  device: FleetDevice;
  vehicle: Vehicle;
  receiver: Receiver;
  random: Random;
  nextFixAt: number;
  fixEveryMs: number;
  pending: Fix[];
  ignition: boolean | null;
}

export function createTraffic({ secrets, startMs, speedup = 1, ...plan }: TrafficOptions): Traffic {
  const faulty = (share: number) => (plan.clean ? 0 : share);
  const random = createRandom(plan.seed);
  const city = createCity(random.fork("city"));
  const devices = planFleet(plan);
  const running = devices.map((device): Running => {
    const own = random.fork(`vehicle ${device.number}`);
    const fixEveryMs = Math.max(MIN_FIX_EVERY_MS, Math.round(device.vendor.fixEveryMs / speedup));
    return {
      device,
      vehicle: createVehicle({ city, random: own.fork("way"), startMs }),
      receiver: createReceiver(own.fork("receiver"), device.habits),
      random: own.fork("messages"),
      // Devices are switched on at different moments.
      nextFixAt: startMs + own.integer(1, fixEveryMs),
      fixEveryMs,
      pending: [],
      ignition: null,
    };
  });
  let outbox: FleetMessage[] = firstTests();

  function firstTests(): FleetMessage[] {
    const first = new Map(devices.map((device) => [device.vendor, device] as const).reverse());
    return [...first].flatMap(([{ test }, device]) => (test ? [post(device, "test", startMs, test)] : []));
  }

  function advance(toMs: number): FleetMessage[] {
    for (const each of running) {
      for (; each.nextFixAt <= toMs; each.nextFixAt += each.fixEveryMs) {
        if (each.nextFixAt - startMs <= each.device.silentAfterMs) report(each, each.nextFixAt);
      }
    }
    const due = outbox.filter(({ sendAt }) => sendAt <= toMs);
    outbox = outbox.filter(({ sendAt }) => sendAt > toMs);
    // Where two are due at once the earlier written goes first: sorting is stable.
    return due.sort((a, b) => a.sendAt - b.sendAt);
  }

  function report(each: Running, at: number): void {
    const { device, vehicle, receiver, pending, random: own } = each;
    vehicle.advance(at);
    const fix = receiver.observe(vehicle.state());
    const sendAt = at + own.between(...TRANSIT_MS);
    if (each.ignition !== null && each.ignition !== fix.ignition) {
      const event = device.vendor.ignitionChanged(device, fix);
      if (event) outbox.push(post(device, "event", sendAt, event));
    }
    each.ignition = fix.ignition;
    pending.push(fix);
    if (pending.length < device.vendor.fixesPerMessage) return;
    const written = device.vendor.positions(device, pending.splice(0), own);
    if (written) dispatch(each, sendAt, written);
  }

  /** Sends positions, now and then with something going wrong. */
  function dispatch({ device, random: own }: Running, sendAt: number, written: Written): void {
    const fate = own.next();
    const delayMs = own.between(...LATE_BY_MS);
    const again = sendAt + own.between(...RESEND_AFTER_MS);
    const cut = { ...written, body: written.body.slice(0, Math.floor(written.body.length * 0.6)), fixes: [] };
    let reached = 0;
    const falls = (share: number) => {
      reached += share;
      return fate < reached;
    };
    if (falls(faulty(MALFORMED_SHARE))) outbox.push(post(device, "malformed", sendAt, cut));
    else if (falls(faulty(UNPROVEN_SHARE)) && device.vendor.way.via === "webhook") {
      outbox.push(post(device, "unauthenticated", sendAt, { ...written, fixes: [] }));
    } else if (falls(LATE_SHARE)) outbox.push(post(device, "late", sendAt + delayMs, written));
    else {
      outbox.push(post(device, "positions", sendAt, written));
      if (falls(RESEND_SHARE)) outbox.push(post(device, "resend", again, written));
    }
  }

  function post(
    device: FleetDevice,
    kind: MessageKind,
    sendAt: number,
    { body, topic, fixes }: Written,
  ): FleetMessage {
    const { source, way } = device.vendor;
    const message = { source, kind, deviceId: device.id, sendAt, body, fixes };
    if (way.via === "mqtt") return { ...message, way: { via: "mqtt", topic: topic ?? "", qos: way.qos } };
    const secret = kind === "unauthenticated" ? `not-${secrets[source]}` : secrets[source];
    const headers = { "content-type": "application/json", ...way.authHeaders(body, secret, device) };
    return { ...message, way: { via: "webhook", headers } };
  }

  return { devices, advance };
}
