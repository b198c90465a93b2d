// Teams: their colours, and how they can be reached.

import { say } from "./elements.js";

const HUES = 8;

// One colour per team, the same at each look; 0 stands for none.
export const huesOf = (facts) => new Map(facts.teams.map((team, index) => [team.name, 1 + (index % HUES)]));

export function onCall(team) {
  if (!team || team.on_call === null) return "not said";
  if (team.on_call === true) return "yes";
  return team.on_call || "no";
}

export function localTime(zone) {
  try {
    return new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" }).format();
  } catch {
    return null;
  }
}

export function showTimes(root) {
  for (const place of root.querySelectorAll("[data-zone]")) say(place, localTime(place.dataset.zone));
}
