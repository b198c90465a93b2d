// What each service does.

import { empty, make } from "./elements.js";

export const title = "Services";
export const path = "services";

export function render(root, context) {
  root.append(make("h1", {}, title), empty("Nothing to see here yet", "What each service does."));
}
