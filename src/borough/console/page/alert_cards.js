// What is wrong now, most urgent first, as the server has it: a card for each alert, with what can be done about it.

import { age, button, make, say, serviceLink } from "./elements.js";
import { onCall } from "./teams.js";

const GROUPS = [["firing", "Firing"], ["acknowledged", "Somebody is at it"], ["silenced", "Silenced"], ["pending", "Not yet long enough to fire"]];
const SEEN_AT = { events: "See it in Events", traces: "See its traces", trace: "See its trace", services: "See the service", map: "See it on the map" };
const TOLD = { page: "Somebody should look at once", ticket: "Somebody should look within the working day" };

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const hour = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

const now = () => Date.now() / 1000;

// 14:02, or 25 Nov, 14:02 where it is not today.
export function when(seconds) {
  const date = new Date(seconds * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? hour.format(date) : `${day.format(date)}, ${hour.format(date)}`;
}

export function urgency(severity) {
  return make("span", { class: `urgency ${severity}`, title: TOLD[severity] }, severity);
}

export function seenAt(look) {
  return make("a", { href: look }, SEEN_AT[/^#\/(\w+)/.exec(look)?.[1]] ?? "See where it comes from");
}

export function runbook(url, rule) {
  return make("a", { href: url, rel: "noreferrer", target: "_blank", "aria-label": `Runbook of ${rule}, in another window` }, "Runbook");
}

export const groupOf = (alert) => (alert.silenced_until > now() && alert.state !== "pending" ? "silenced" : alert.state);

function times({ state, since, fired_at: firedAt }) {
  if (state === "pending" || firedAt === null) return `seen for ${age(now() - since)}, since ${when(since)}`;
  const earlier = when(since) === when(firedAt) ? "" : `, seen first at ${when(since)}`;
  return `fires for ${age(now() - firedAt)}, since ${when(firedAt)}${earlier}`;
}

function said({ acknowledged_by: by, note, silenced_until: until }) {
  return [by === null ? null : `Acknowledged by ${by}${note ? `: ${note}` : "."}`,
    until > now() ? `Nobody is told until ${when(until)}.` : null].filter(Boolean).join(" ");
}

// Cards stay the elements that they are while they change, so that what has the focus keeps it.
export class Cards {
  // `acts` has `acknowledge(alert)` and `silence(alert)`.
  constructor(facts, acts) {
    this.facts = facts;
    this.acts = acts;
    this.cards = new Map();
    this.groups = new Map(GROUPS.map(([name, label]) => {
      const list = make("ul", { class: "alerts" });
      const heading = make("h2", {}, label);
      return [name, { list, element: make("section", { id: `alerts-${name}`, hidden: "" }, heading, list) }];
    }));
    this.element = make("div", { id: "open" }, [...this.groups.values()].map((each) => each.element));
  }

  show(alerts) {
    const cards = new Map();
    for (const alert of alerts) {
      const card = this.cards.get(alert.id) ?? this.card(alert);
      card.alert = alert;
      this.fill(card);
      cards.set(alert.id, card);
    }
    for (const [id, card] of this.cards) if (!cards.has(id)) card.item.remove();
    this.cards = cards;
    for (const [name, { list, element }] of this.groups) {
      const items = [...cards.values()].filter(({ alert }) => groupOf(alert) === name).map(({ item }) => item);
      if (items.some((item, index) => list.children[index] !== item)) {
        const focused = document.activeElement;
        list.append(...items);
        if (list.contains(focused)) focused.focus();
      }
      element.hidden = items.length === 0;
    }
  }

  card(alert) {
    const team = this.facts.teams.find((each) => each.name === alert.team);
    const card = { summary: make("h3"), times: make("span"), said: make("p", { class: "said" }), alert };
    const of = `${alert.rule}${alert.service ? ` of ${alert.service}` : ""}`;
    card.acknowledge = button("Acknowledge", () => this.acts.acknowledge(card.alert), { "aria-label": `Acknowledge ${of}` });
    card.silence = button("Silence", () => this.acts.silence(card.alert), { "aria-label": `Silence ${of}` });
    card.look = make("span");
    card.item = make("li", { class: "card", "data-alert": alert.id, "data-severity": alert.severity }, card.summary,
      make("p", { class: "soft marks" }, urgency(alert.severity), alert.service ? serviceLink(alert.service) : "the whole system", make("code", {}, alert.rule), card.times,
        alert.team ? `team ${alert.team}, on call: ${onCall(team)}` : "no team owns it yet"),
      card.said, make("p", { class: "acts" }, card.look, alert.runbook ? runbook(alert.runbook, alert.rule) : null, card.acknowledge, card.silence));
    return card;
  }

  fill({ alert, item, summary, times: place, said: note, look, acknowledge, silence }) {
    item.dataset.state = groupOf(alert);
    say(summary, alert.summary);
    say(place, times(alert));
    say(note, said(alert));
    note.hidden = !note.textContent;
    if (look.firstChild?.getAttribute("href") !== alert.look) look.replaceChildren(seenAt(alert.look));
    acknowledge.hidden = alert.state !== "firing";
    silence.hidden = alert.silenced_until > now();
  }
}
