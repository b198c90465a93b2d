// What is told, and who hears it.

import { empty, make } from "./elements.js";

export const title = "Events";
export const path = "events";

export function render(root, context) {
  root.append(make("h1", {}, title), empty("Nothing to see here yet", "What is told, and who hears it."));
}
