// What is wrong with a service now: the sentences of its alerts, which lead to where they are dealt with.

import { make } from "./elements.js";

// `element`, and `refresh()`, which asks for them.
export function openAlerts(name, context) {
  const element = make("ul", { id: "wrong", hidden: "" });
  let shown = "";
  async function refresh() {
    const { alerts } = await context.api.get("alerts");
    const open = alerts.filter((each) => each.service === name && each.state !== "pending").map((each) => each.summary);
    const text = JSON.stringify(open);
    if (text === shown) return;
    shown = text;
    element.hidden = !open.length;
    element.replaceChildren(...open.map((each) => make("li", {}, `${each} `, make("a", { href: `#/alerts?service=${encodeURIComponent(name)}` }, "See the alert"))));
  }
  return { element, refresh };
}
