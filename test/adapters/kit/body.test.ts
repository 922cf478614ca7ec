/** The bytes of a message as text, for every adapter: marks and padding go, and what is no text is named. */

import { deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { adapters } from "../../../src/adapters/index.ts";
import type { Message } from "../../../src/adapters/kit/adapter.ts";
import { misread, parseBody, textOf } from "../../../src/adapters/kit/body.ts";
import { decode } from "../../support/decode.ts";
import { fixturesOf } from "../../support/fixtures.ts";

const MOST = 5000;
const bytes = (...values: number[]) => Uint8Array.from(values);
const MARK = "\ufeff";
const text = (body: string | Uint8Array) => Buffer.from(textOf(Buffer.from(body))).toString();
const utf16 = (value: string, isBig = false) => {
  const body = Buffer.from(value, "utf16le");
  return isBig ? body.swap16() : body;
};

describe("a text body", () => {
  it.each([
    ["a byte order mark", `${MARK}{"a":1}`],
    ["two of them and white space", `\r\n ${MARK}\t${MARK}{"a":1}\n`],
    ["a NUL", '{"a":1}\0'],
    ["a padded buffer", `{"a":1}\r\n${"\0".repeat(40)}`],
    ["a NUL and what the buffer held before", '{"a":1}\0"speed":4}'],
    ["UTF-16 with its mark", utf16(`${MARK}{"a":1}`)],
    ["UTF-16 the other way round", utf16(`${MARK}{"a":1}\0`, true)],
    ["UTF-16 without a mark", utf16('{"a":1}')],
    ["UTF-16 the other way round without a mark", utf16('{"a":1}', true)],
  ])("is freed of %s", (_, body) => {
    expect(text(body)).toBe('{"a":1}');
  });

  it("stays as it is otherwise, and is not copied", () => {
    for (const body of [Buffer.from('{"a":"\\u0000 é"}'), Buffer.from("a"), Buffer.alloc(0)])
      expect(textOf(body)).toBe(body);
    for (const body of ["", " ", "\0", MARK, `${MARK} \0`]) expect(text(body)).toBe("");
    for (const odd of [bytes(0xff, 0xfe, 0x00), bytes(0xff, 0xfe, 0x00, 0xd8), bytes(0xef, 0xbb)])
      expect(() => textOf(odd)).not.toThrow();
  });
});

/** Every adapter's own messages in each dress, MQTT payloads, forms and lines among them. */
const own = adapters.flatMap((adapter) =>
  fixturesOf(adapter)
    .filter(({ message }) => message.method !== "GET")
    .map((fixture) => [fixture.name, adapter, fixture] as const),
);

it.each(own)("%s is read alike with marks and padding, and signed over them", (_, adapter, fixture) => {
  const { message, settings, auth } = fixture;
  const plain = decode(adapter, message, settings);
  const sent = Buffer.from(message.body);
  const dresses = [
    Buffer.concat([Buffer.from(MARK), sent]),
    Buffer.concat([sent, bytes(0)]),
    Buffer.concat([Buffer.from("\r\n "), sent, Buffer.from(" \n\0\0")]),
    Buffer.from(`${MARK}${sent.toString()}`, "utf16le"),
  ];
  for (const body of dresses) {
    // Smartcar's challenge is answered under the secret that signed it, and a signature covers the bytes as sent.
    if (plain.kind !== "handshake") expect(decode(adapter, { ...message, body }, settings)).toEqual(plain);
    for (const { method, credentials, headers = {} } of auth.filter(({ method }) =>
      method.startsWith("hmac-"),
    )) {
      const authMethod = adapter.auth.find(({ name }) => name === method);
      const lower = Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
      );
      const signed = { ...message, headers: { ...message.headers, ...lower } };
      expect(authMethod?.verify(signed, credentials)).toBeNull();
      expect(authMethod?.verify({ ...signed, body }, credentials)).not.toBeNull();
    }
  }
});

describe("what is not what is read", () => {
  const problem = (format: "json" | "form" | "text", body: string | Uint8Array, topic?: string) => {
    const message: Message = {
      body: Buffer.from(body),
      receivedAt: 0,
      headers: {},
      query: {},
      retained: false,
      ...(topic === undefined ? { method: "POST" } : { topic }),
    };
    const parsed = parseBody(format, message, MOST);
    return "problem" in parsed ? parsed.problem : null;
  };

  it.each([
    ["lat=1&lon=2", "a form (name=value)"],
    ["id=7", "a form (name=value)"],
    ["<?xml version='1.0'?><fix/>", "XML"],
    ["<!DOCTYPE html><html></html>", "a web page (HTML)"],
    ["$GPRMC,150405.00,A,3930.0000,N", "an NMEA sentence"],
    ["--x1\r\nContent-Disposition: form-data", "a form in parts (multipart/form-data)"],
    ["%7B%22lat%22%3A1%7D", "JSON in percent signs (URL-encoded)"],
    [Buffer.from('{"lat":1}').toString("base64"), "JSON in base64"],
    ["7,39.5,-105.2,12", "text between commas (CSV)"],
  ])("as JSON: %s", (body, what) => {
    expect(problem("json", body)).toMatch(`message: not JSON, but ${what}: `);
  });

  it.each([
    ['{"lat":1}', "JSON"],
    ["<fix lat='1'/>", "XML"],
    ["<html lang='en'>", "a web page (HTML)"],
    ["--x1\r\nContent-Disposition: form-data; name=lat", "a form in parts"],
    ["$GPRMC,150405.00,A,3930.0000,N", "an NMEA sentence"],
  ])("as a form: %s", (body, what) => {
    expect(problem("form", body)).toMatch(`message: not a form, but ${what}`);
  });

  it("is told from a form, which may be empty or odd", () => {
    for (const form of ["", "a=1", "a=1&b", "a%5B0%5D=1,2,3,4,5", "=", "x y=1"])
      expect(problem("form", form)).toBeNull();
    expect(problem("form", "hello")).toBe("message: not a form");
  });

  it("as JSON that ends too early, goes on, is empty, or is none", () => {
    expect(problem("json", '{"lat":1')).toMatch(/not JSON/);
    expect(problem("json", '{"lat":')).toBe("message: not JSON (it is cut off after 7 characters)");
    expect(problem("json", '{"lat":1}\n{"lat":2}')).toMatch(/not JSON .*send one value a message, or a list/);
    expect(problem("json", "{'lat':1}")).toMatch(/^message: not JSON \(.+\)$/);
    expect(problem("json", "")).toBe("message: is empty, where JSON should be");
    expect(problem("json", "", "gps/7")).toMatch(/is empty, .* retained message is taken back/);
  });

  it("as text of any kind: binary, by its name where it has one", () => {
    const body = Buffer.from('{"lat":1}'.repeat(9));
    for (const format of ["json", "form", "text"] as const) {
      expect(problem(format, gzipSync(body))).toMatch("not UTF-8 text: it is compressed (gzip); let");
      expect(problem(format, deflateSync(body))).toMatch("compressed (zlib)");
    }
  });

  it("as what an adapter's payload refused", () => {
    expect(misread("text", '{"lat":1}')[0]).toMatch("message: not the text that is read here, but JSON: ");
    expect(misread("text", "hello")).toEqual([]);
    expect(misread("json", ' {"lat":1}')[0]).toMatch("encoded twice");
    for (const raw of [7, null, {}, [], "hello"]) expect(misread("json", raw)).toEqual([]);
  });
});
