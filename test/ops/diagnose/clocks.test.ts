import { describe, expect, it } from "vitest";
import { createClockWatch } from "../../../src/ops/diagnose/clocks.ts";

let arrival = 1_795_199_803_000;
/** Each in a message of its own. */
function observeOne(
  watch: ReturnType<typeof createClockWatch>,
  source: string,
  deviceId: string,
  offset: number,
) {
  arrival += 5000;
  watch.observe(source, deviceId, arrival - offset, arrival);
}
/** Offsets as arrivals bring them: the clock's error plus a network delay that varies. */
function observe(watch: ReturnType<typeof createClockWatch>, deviceId: string, offsets: number[]): void {
  for (const offset of offsets) observeOne(watch, "vans", deviceId, offset);
}

const delays = (fixes: number, errorMs: number, upToMs: number) =>
  Array.from({ length: fixes }, (_, fix) => errorMs + 300 + ((fix * 7919) % 100) * (upToMs / 100));

describe("the clock watch", () => {
  it.each([
    ["ahead by 90 s", -90_000, "ahead by about 90 s", false],
    ["ahead by 10 s", -10_000, "ahead by about 10 s", false],
    ["behind by 20 min", 20 * 60_000, "behind by about 20 min", false],
    ["behind by five hours, a time zone", 5 * 3_600_000, "behind by about 5 h", true],
    ["ahead by half a zone", -5.5 * 3_600_000, "ahead by about 5 h", true],
  ])("names a clock %s", (_, errorMs, text, looksLikeTimeZone) => {
    const watch = createClockWatch();
    observe(watch, "veh-1", delays(25, errorMs, 4_000));
    const [offender, ...others] = watch.offenders();
    expect(others).toEqual([]);
    expect(offender).toMatchObject({ source: "vans", deviceId: "veh-1", looksLikeTimeZone });
    if (errorMs !== -5.5 * 3_600_000) expect(offender?.text).toBe(text);
    expect(Math.abs((offender?.offsetMs ?? 0) - errorMs)).toBeLessThan(2_000);
  });

  it.each([
    ["a right clock with delays up to a minute", delays(60, 0, 60_000)],
    ["a clock a second ahead", delays(60, -1_500, 1_000)],
    ["too few fixes to say of a clock that is behind", delays(19, 20 * 60_000, 1_000)],
    ["two fixes that are ahead", delays(2, -90_000, 1_000)],
    ["a clock ahead that was put right within its first fixes", [...delays(5, -90_000, 1_000), 400]],
    ["a time zone that was put right", [...delays(5, 5 * 3_600_000, 1_000), 400]],
    [
      "an upload of what was stored in a tunnel",
      Array.from({ length: 60 }, (_, fix) => 3_600_000 - fix * 50_000),
    ],
    ["one mad fix among good ones", [...delays(30, 0, 2_000), -600_000, ...delays(8, 0, 2_000)]],
    ["a clock that was put right", [...delays(40, -90_000, 1_000), 400]],
  ])("says nothing of %s", (_, offsets) => {
    const watch = createClockWatch();
    observe(watch, "veh-1", offsets);
    expect(watch.offenders()).toEqual([]);
  });

  it.each([
    ["ahead by 90 s", -90_000, false],
    ["behind by five hours", 5 * 3_600_000, true],
    ["ahead by nine and a half hours", -9.5 * 3_600_000, true],
  ])("needs three messages for a clock %s", (_, errorMs, looksLikeTimeZone) => {
    const watch = createClockWatch();
    observe(watch, "veh-1", delays(3, errorMs, 4_000));
    expect(watch.offenders()).toMatchObject([{ deviceId: "veh-1", looksLikeTimeZone }]);
    expect(watch.offsetOf("vans", "veh-1")).toBeGreaterThan(errorMs);
    expect(watch.offsetOf("vans", "veh-2")).toBeNull();
  });

  it.each([
    [1024, "behind by 1,024 weeks"],
    [2048, "behind by 2,048 weeks"],
  ])("knows a receiver that is %d weeks behind, however long its messages take", (weeks, text) => {
    const watch = createClockWatch();
    const behind = weeks * 7 * 86_400_000;
    observe(watch, "veh-1", [behind + 400, behind + 90_000]);
    expect(watch.offenders()).toEqual([]);
    observe(watch, "veh-1", [behind - 30_000]);
    expect(watch.offenders()).toMatchObject([{ deviceId: "veh-1", text, looksLikeTimeZone: false }]);
    observe(watch, "veh-1", [400]);
    expect(watch.offenders()).toEqual([]);
  });

  it("is not fooled by one message with an hour of old fixes, a second apart", () => {
    const watch = createClockWatch();
    for (let i = 0; i < 5; i++) watch.observe("vans", "veh-1", arrival - 3_600_000 + i * 1000, arrival);
    expect(watch.offenders()).toEqual([]);
  });

  it("puts the worst first and keeps sources apart", () => {
    const watch = createClockWatch();
    for (const offset of delays(25, -20_000, 100)) observeOne(watch, "a", "1", offset);
    for (const offset of delays(25, -80_000, 100)) observeOne(watch, "b", "1", offset);
    expect(watch.offenders().map(({ source }) => source)).toEqual(["b", "a"]);
  });

  it("drops the device that was silent for longest rather than grow without bound", () => {
    const watch = createClockWatch();
    observe(watch, "early", delays(25, -90_000, 100));
    observe(watch, "stored", delays(25, -90_000, 100));
    for (let device = 0; device < 19_999; device += 1) observeOne(watch, "crowd", String(device), 100);
    expect(watch.offenders().map(({ deviceId }) => deviceId)).toEqual(["stored"]);
  });
});
