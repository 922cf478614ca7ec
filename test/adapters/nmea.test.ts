/** NMEA: several sentences in one message and after one another, whole and damaged. */

import { describe, expect, it } from "vitest";
import { findAdapter } from "../../src/adapters/index.ts";
import { createAssembler } from "../../src/ingest/assembler.ts";
import { examine } from "../support/decode.ts";

/** Checksums by another program. */
const GLL = "$GNGLL,3944.86162,N,10459.51585,W,143021.00,A,A*64";
const GNS = "$GNGNS,143021.00,3944.86162,N,10459.51585,W,AAN,09,0.9,1609.3,-20.1,,*16";
const GGA = "$GNGGA,143022.00,3944.86162,N,10459.51585,W,1,09,0.9,1609.3,M,-20.1,M,,*71";
const LATER = "$GNGGA,143322.00,3944.86162,N,10459.51585,W,1,09,0.9,1609.3,M,-20.1,M,,*72";
const SIM = "$GNGGA,143022.00,3944.86162,N,10459.51585,W,8,09,0.9,1609.3,M,-20.1,M,,*78";
const NOGLL = "$GPGLL,,,,,143021.40,V,N*4B";
const NOGNS = "$GPGNS,143022.40,,,,,NN,00,99.9,,,,*76";
const RMC = "$GNRMC,143120.00,A,3944.86162,N,10459.51585,W,25.00,184.4,261026,,,A*5C";
const GSV = "$GPGSV,1,1,02,05,45,120,38,12,30,210,35*72";
const DAMAGED = (sentence: string) => `${sentence.slice(0, -2)}00`;
const RECEIVED_AT = Date.UTC(2026, 9, 26, 14, 31, 30);

function seen(lines: string | readonly string[], options?: object) {
  const {
    assembler = createAssembler(),
    receivedAt = RECEIVED_AT,
    resent = false,
  } = (options ?? {}) as {
    assembler?: ReturnType<typeof createAssembler>;
    receivedAt?: number;
    resent?: boolean;
  };
  const nmea = findAdapter("nmea");
  if (!nmea) throw new Error("There is no adapter for nmea.");
  const message = {
    body: Buffer.from([lines].flat().join("\r\n")),
    topic: "gps/van-7",
    receivedAt,
    resent,
    headers: {},
    query: {},
    retained: false,
  };
  const { kind, what, problems, readings, rejections } = examine(
    nmea,
    message,
    { speedUnit: undefined, options: undefined },
    assembler,
  );
  const times = readings.map(({ fixTime }) => fixTime.slice(11, 19));
  return { kind, what, problems, times, reasons: rejections.map(({ reason }) => reason), readings };
}

describe("a message without RMC", () => {
  it("gives one reading for each time, whichever sentences say it", () => {
    expect(seen([GLL, GNS, GSV, GGA])).toMatchObject({ times: ["14:30:21", "14:30:22"], reasons: [] });
    expect(seen([GLL]).readings[0]).toMatchObject({ deviceId: "van-7", speedMps: null, headingDeg: null });
  });

  it("gives none where a sentence denies its fix, or may be old", () => {
    expect(seen([NOGLL, NOGNS, SIM])).toMatchObject({ times: [], reasons: ["no_fix", "no_fix", "no_fix"] });
    expect(seen(GGA, { resent: true })).toMatchObject({ times: [], reasons: ["resent_without_time"] });
  });

  it("stands back while RMC comes in other messages, and no longer", () => {
    const assembler = createAssembler();
    expect(seen(RMC, { assembler }).times).toEqual(["14:31:20"]);
    expect(seen(GGA, { assembler })).toMatchObject({ kind: "decoded", times: [], reasons: [] });
    expect(seen(RMC, { assembler }).times).toEqual(["14:31:20"]);
    expect(seen(LATER, { assembler, receivedAt: RECEIVED_AT + 119_000 }).times).toEqual(["14:33:22"]);
    expect(seen(GGA).times).toEqual(["14:30:22"]);
  });
});

describe("a damaged sentence", () => {
  it("is a rejected position only where it could have been one", () => {
    for (const damaged of [DAMAGED(RMC), RMC.slice(0, -3), DAMAGED(GGA), "$GNRM"])
      expect(seen(damaged), damaged).toMatchObject({ kind: "decoded", reasons: ["bad_checksum"] });
    expect(seen([RMC, DAMAGED(GGA), DAMAGED(GSV)])).toMatchObject({ times: ["14:31:20"], reasons: [] });
    expect(seen([DAMAGED(RMC), GGA, DAMAGED(GSV)])).toMatchObject({ times: [], reasons: ["bad_checksum"] });
  });

  it("of another kind is named with what is wrong with it", () => {
    expect(seen(DAMAGED(GSV))).toMatchObject({
      kind: "malformed",
      problems: [`[0]: GSV has the checksum 00, and should have ${GSV.slice(-2)}`],
    });
    expect(seen([GSV, GSV.slice(0, -3)])).toMatchObject({
      kind: "malformed",
      problems: ["[1]: GSV has no checksum"],
    });
  });

  it("costs itself where the next begins in the middle of it", () => {
    expect(seen(`$GNRMC,143119.00,A,3944.8${RMC}`)).toMatchObject({
      times: ["14:31:20"],
      reasons: ["bad_checksum"],
    });
  });
});

it("reads what stands behind a tag block, and after a byte order mark in the middle", () => {
  expect(seen(`\\s:gnss,c:1793025080*57\\${RMC}`).times).toEqual(["14:31:20"]);
  expect(seen([GSV, `\ufeff${RMC}`]).times).toEqual(["14:31:20"]);
});

it("says what a message without any sentence is", () => {
  expect(seen('{"lat":1}').problems[0]).toMatch("not the text that is read here, but JSON");
  expect(seen("hello").problems).toEqual(["message: holds no NMEA sentence"]);
  expect(seen(Array(1001).fill(GSV)).kind).toBe("malformed");
});
