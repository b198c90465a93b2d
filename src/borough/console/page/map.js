// Who talks to whom.

import { empty, make } from "./elements.js";

export const title = "Map";
export const path = "map";

export function render(root, context) {
  root.append(make("h1", {}, title), empty("Nothing to see here yet", "Who talks to whom."));
}
