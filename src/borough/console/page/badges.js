// What is wrong now, said in few words beside a page's name and beside services, from the live topic `alerts`.

import { make, plural, say } from "./elements.js";

const SAYS = { firing: "an alert fires", acknowledged: "an alert fires, somebody is at it", pending: "an alert may fire soon" };

// The state of the worst alert of each service.
export const byService = (values) => new Map(Object.entries(values.get("by_service") ?? {}));

export const saysOf = (state) => SAYS[state] ?? "";

// Beside a service's name; leads to its alerts.
export class ServiceBadge {
  constructor(name) {
    this.element = make("a", { class: "badge", href: `#/alerts?service=${encodeURIComponent(name)}`, hidden: "" });
    this.name = name;
  }

  show(state) {
    this.element.hidden = !state;
    this.element.className = `badge ${state ?? ""}`;
    say(this.element, state ?? "");
    this.element.setAttribute("aria-label", `${this.name}: ${saysOf(state)}`);
  }
}

// In the navigation: how many fire, for eyes as a number and for ears in words.
export class CountBadge {
  constructor() {
    this.number = make("span", { class: "badge", "aria-hidden": "true" });
    this.words = make("span", { class: "hidden" });
    this.element = make("span", { hidden: "" }, " ", this.number, this.words);
  }

  show(values) {
    const [firing, acknowledged] = [values.get("firing") ?? 0, values.get("acknowledged") ?? 0];
    this.element.hidden = firing + acknowledged === 0;
    this.number.className = firing ? "badge" : "badge acknowledged";
    say(this.number, String(firing || acknowledged));
    say(this.words, firing ? `, ${plural(firing, "alert")} firing` : `, ${plural(acknowledged, "alert")} acknowledged`);
  }
}
