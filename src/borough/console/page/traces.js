// What happened, call by call.

import { empty, make } from "./elements.js";

export const title = "Traces";
export const path = "traces";

export function render(root, context) {
  root.append(make("h1", {}, title), empty("Nothing to see here yet", "What happened, call by call."));
}
