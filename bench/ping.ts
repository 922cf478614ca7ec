/** A reading in ServiceTitan's field names, as both references send it: all 14 keys, no checks. */

export interface Reading {
  deviceId: string;
  latitude: number;
  longitude: number;
  time: string;
  speed: number;
  heading: number;
}

export function toPing(reading: Reading) {
  return {
    unitId: reading.deviceId,
    unitName: reading.deviceId,
    eventTime: reading.time,
    latitude: reading.latitude,
    longitude: reading.longitude,
    speed: reading.speed,
    street: "",
    city: "",
    region: "",
    postalCode: "",
    message: "",
    externalId: `${reading.deviceId}@${reading.time}`,
    isNew: false,
    statusMessage: `Heading ${reading.heading}`,
  };
}
