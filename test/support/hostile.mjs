/** Run as a process of its own: sends one shape of hostile messages, authenticated and as fast as it can, until it is ended. */

import { Agent, request } from "node:http";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";

const { shape, webhook, mqttPort, token, connections = 64 } = JSON.parse(process.argv[2] ?? "{}");

const BODY_BYTES = 2_000_000;

/** As many of `item` as the body limit lets through. */
function filled(item) {
  const count = Math.floor((BODY_BYTES - 2) / (item.length + 1));
  return `[${`${item},`.repeat(count).slice(0, -1)}]`;
}

let made = 0;
function reading() {
  made += 1;
  return {
    deviceId: `mole-${made % 500}`,
    latitude: 32.78,
    longitude: -96.8,
    time: new Date(Date.now() - (made % 300_000)).toISOString(),
    speed: 10,
  };
}

const json = (body) => ({ body, headers: { "content-type": "application/json" } });
const gzip = (body) => ({
  body: gzipSync(body),
  headers: { "content-type": "application/json", "content-encoding": "gzip" },
});
const form = (body) => ({ body, headers: { "content-type": "application/x-www-form-urlencoded" } });
const objectOf = (count, value) =>
  `{${Array.from({ length: count }, (_, i) => `"${i.toString(36)}":${value}`).join()}}`;

/** Each gives the next request; what is always the same is made once. */
const WEBHOOKS = {
  "bomb of empty objects": () => once(() => gzip(filled("{}"))),
  "bomb of nulls": () => once(() => gzip(filled("1"))),
  "20,000 broken elements": () =>
    once(() => json(JSON.stringify(Array(20_000).fill({ deviceId: 1, x: [{}] })))),
  "5,000 readings": () => json(JSON.stringify(Array.from({ length: 5000 }, reading))),
  "same 5,000 readings": () => once(() => json(JSON.stringify(Array.from({ length: 5000 }, reading)))),
  "nested arrays": () => once(() => gzip(`${"[".repeat(900_000)}${"]".repeat(900_000)}`)),
  "list within a list": () => once(() => gzip(`[${filled("{}").slice(0, -2)}]`)),
  "object of 200,000 keys": () => once(() => gzip(objectOf(200_000, "{}"))),
  "form of 600,000 parameters": () => once(() => form("a&".repeat(600_000))),
  "form of a huge value": () => once(() => form(`a=${"%41".repeat(600_000)}`)),
  "huge string": () => once(() => gzip(JSON.stringify([{ deviceId: "x".repeat(1_900_000) }]))),
  "100,000 lines": () => once(() => gzip("$GPRMC,,V,,,,,,,,,,N*53\r\n".repeat(80_000))),
  "small messages": () => json(JSON.stringify(reading())),
  "small malformed messages": () => json('{"hello":"world"}'),
  "not JSON": () => once(() => json("x".repeat(1_900_000))),
};

let stored;
function once(make) {
  stored ??= make();
  return stored;
}

const agent = new Agent({ keepAlive: true, maxSockets: connections });

function post(next) {
  const { body, headers } = next();
  const sent = request(
    webhook,
    {
      agent,
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-length": Buffer.byteLength(body), ...headers },
    },
    (answer) => answer.resume().on("end", () => post(next)),
  );
  // Refused or cut off: at once again, as an attacker does.
  sent.on("error", () => setTimeout(post, 10, next));
  sent.end(body);
}

function packet(first, ...parts) {
  const rest = Buffer.concat(parts.map((part) => (typeof part === "string" ? text(part) : part)));
  const length = [];
  let left = rest.length;
  do {
    length.push((left % 128) | (left >= 128 ? 0x80 : 0));
    left = Math.floor(left / 128);
  } while (left > 0);
  return Buffer.concat([Buffer.from([first, ...length]), rest]);
}

function text(value) {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** Ten of them in one write. */
const BURST_BYTES = 1_000_000;
let lastId = 0;
function publish(qos, body) {
  lastId = (lastId % 65_535) + 1;
  const id = qos > 0 ? [Buffer.from([lastId >> 8, lastId & 0xff])] : [];
  return packet(0x30 | (qos << 1), "mole/x", ...id, Buffer.from(body));
}

const DEVICES = {
  "QoS 0 flood": () => publish(0, JSON.stringify(reading())),
  "QoS 0 flood of nothing": () => publish(0, ""),
  "QoS 0 flood of malformed messages": () => publish(0, "{}"),
  "QoS 1 flood": () => publish(1, JSON.stringify(reading())),
  "QoS 1 flood of malformed messages": () => publish(1, "{}"),
  "QoS 0 flood of broken lists": () => publish(0, `[${"{},".repeat(80_000)}{}]`),
};

function device(next) {
  const packets = [];
  for (let bytes = 0; bytes < BURST_BYTES; bytes += packets.at(-1).length) packets.push(next());
  const burst = Buffer.concat(Array(10).fill(Buffer.concat(packets)));
  const socket = connect(mqttPort, "127.0.0.1");
  const login = [Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0xc2, 0, 60]), `m${Math.random()}`];
  socket.write(packet(0x10, ...login, "mole", token));
  socket.once("data", () => {
    const again = () => {
      while (!socket.destroyed && socket.write(burst));
    };
    socket.on("drain", again);
    socket.resume();
    again();
  });
  socket.on("error", () => {});
  socket.on("close", () => setTimeout(device, 10, next));
}

if (WEBHOOKS[shape]) for (let i = 0; i < connections; i++) post(WEBHOOKS[shape]);
else if (DEVICES[shape]) for (let i = 0; i < 4; i++) device(DEVICES[shape]);
else throw new Error(`no such shape: ${shape}`);
