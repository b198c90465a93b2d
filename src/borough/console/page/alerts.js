// What needs somebody.

import { empty, make } from "./elements.js";

export const title = "Alerts";
export const path = "alerts";

export function render(root, context) {
  root.append(make("h1", {}, title), empty("Nothing to see here yet", "What needs somebody."));
}
