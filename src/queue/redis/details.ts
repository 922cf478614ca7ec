/** The short form of details in Redis, in records and in the ledger: one letter for each detail that was sent. */

import { DETAIL_NUMBERS, DETAIL_TEXTS, type Details } from "../../reading.ts";

/** Letters are for ever: what an older gateway wrote is read by them. */
const LETTERS = {
  deviceName: "n",
  street: "s",
  city: "c",
  region: "r",
  postalCode: "p",
  ignition: "i",
  odometerM: "o",
  accuracyM: "a",
  altitudeM: "h",
  batteryPct: "b",
  driver: "d",
  vendorEvent: "e",
} as const satisfies Record<keyof Details, string>;

type Letter = (typeof LETTERS)[keyof typeof LETTERS];

/** Ignition is 1 or 0. */
export type PackedDetails = { [letter in Letter]?: string | number };

export function packDetails(details: Details): PackedDetails {
  const packed: PackedDetails = {};
  for (const name of DETAIL_TEXTS) {
    const text = details[name];
    if (typeof text === "string") packed[LETTERS[name]] = text;
  }
  if (typeof details.ignition === "boolean") packed[LETTERS.ignition] = details.ignition ? 1 : 0;
  for (const [name] of DETAIL_NUMBERS) {
    const value = details[name];
    // To 10 cm or a tenth of a percent: conversion from miles and feet leaves a tail of digits that no sensor measured.
    if (typeof value === "number") packed[LETTERS[name]] = Math.round(value * 10) / 10;
  }
  return packed;
}

export function unpackDetails(packed: PackedDetails): Details {
  const details: Details = {};
  for (const name of DETAIL_TEXTS) {
    const text = packed[LETTERS[name]];
    if (typeof text === "string") details[name] = text;
  }
  const ignition = packed[LETTERS.ignition];
  if (ignition !== undefined) details.ignition = ignition === 1;
  for (const [name] of DETAIL_NUMBERS) {
    const value = packed[LETTERS[name]];
    if (typeof value === "number") details[name] = value;
  }
  return details;
}
