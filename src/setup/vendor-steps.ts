/** What to do at the vendors used most, beside entering address and secret; each fact stands in docs/vendors.md, too. */

/** By adapter, in the order in which a person does them. Menus are not named: vendors rename them. */
const STEPS: Readonly<Record<string, readonly string[]>> = {
  "verizon-connect": [
    "The push is ordered from Verizon; it wants port 443, TLS 1.2 or newer, and a host name without underscore.",
    "Waypost confirms the subscription by itself, once it runs: Verizon allows 3 days for that.",
  ],
  "verizon-reveal": [
    "Make a REST user in the portal. Its name and password go into auth.username and auth.secret.",
    "The id of your application goes into options.appId.",
  ],
  samsara: [
    "These webhooks carry no stream of positions: for that add a source with vendor: samsara-feed.",
    "The secret is base64, as Samsara shows it.",
  ],
  "samsara-feed": [
    "Make an API token with the scope Read Vehicle Statistics; for other assets (options.assetIds) also Read Vehicles.",
    "In Europe and Canada set pull.baseUrl: https://api.eu.samsara.com or https://api.ca.samsara.com.",
  ],
  motive: [
    "Choose the action vehicle_location_updated, or vehicle_location_received to have late positions as well.",
    "Start Waypost first: Motive sends a test when the webhook is switched on, and must get 200.",
  ],
  linxup: [
    "The address is the one for positions: those of trips, stops, fences and alerts are not needed.",
    "The secret is the token.",
  ],
  azuga: [
    "Webhooks need Azuga's Developer Package.",
    "A header of your own is entered in webHookAuthKeyValues: its name as authKey, the secret as authValue.",
  ],
  "gps-insight": [
    "A header of your own is the webhook's custom_auth_header. JSON and form are both read.",
    "After 5,000 failed points the webhook is paused and its queue emptied; it is resumed by their API.",
  ],
  onestepgps: ["The address is for alerts, most of which carry a position."],
  bouncie: [
    "The secret is the webhook's key.",
    "A proxy in front must not add the header Authorization to answers: Bouncie would take it for a new key.",
  ],
  lytx: ["Lytx sends a list every 5 s, with up to 500 points."],
  zubie: ["The secret is that of your app. Trip events are read; there is no speed in them."],
};

export function stepsFor(vendor: string): readonly string[] {
  return STEPS[vendor] ?? [];
}
