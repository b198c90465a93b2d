// Dead letters by cause: look at them, replay them, drop them.

import { asked } from "./dialog.js";
import { named, serviceOf } from "./consumers.js";
import { button, bytes, make, plural, say } from "./elements.js";

const SHORT = 160;
const DANGER = "quiet danger"; // what cannot be undone
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const when = (seconds) => moment.format(new Date(seconds * 1000));

// A text that may be long: its first words, and all of it where somebody unfolds it.
class Folded {
  constructor(label) {
    this.label = label;
    this.element = make("div", { class: "folded" });
    this.shown = null;
  }

  show(text) {
    if (text === this.shown) return this.element;
    this.shown = text;
    const [first] = text.split("\n", 1);
    const short = first.length > SHORT ? `${first.slice(0, SHORT)}…` : first;
    const isOpen = this.element.querySelector("details")?.open;
    this.element.replaceChildren(short === text ? make("p", {}, text)
      : make("details", isOpen ? { open: "" } : {}, make("summary", {}, short), make("pre", { tabindex: 0, "aria-label": `${this.label}, whole` }, text)));
    return this.element;
  }
}

// One that was replayed and has died again is another letter of the same event.
const deathOf = (letter) => `${letter.event_id} ${letter.died_at}`;

// How many these are, of how many, and how many keys wait behind such events.
const numberOf = ({ events, of_taken: of, keys }) =>
  [`${plural(events, "dead letter")}${of && `, ${of}`}`, keys && `events of ${plural(keys, "key")} wait`].filter(Boolean).join("; ");

export class Dead {
  constructor(context, note) {
    this.context = context;
    this.note = note;
    this.cards = new Map(); // also those that are not shown now: a group comes back as it was, opened or not
    this.place = make("ul", { id: "dead", class: "dead" });
  }

  show(groups) {
    const shown = new Set();
    for (const [key, group] of groups) {
      const card = this.cards.get(key) ?? this.card(group);
      const isAnother = card.group.events !== group.events || card.group.last_at !== group.last_at;
      card.group = group;
      say(card.number, numberOf(group));
      card.cause.show(group.cause || "no words");
      say(card.times, `first ${when(group.first_at)}, last ${when(group.last_at)}`);
      this.cards.set(key, card);
      shown.add(card);
      if (isAnother && card.isOpen) this.load(card);
    }
    for (const card of this.cards.values()) {
      if (!shown.has(card)) card.item.remove();
      else if (!card.item.isConnected) this.place.append(card.item);
    }
  }

  // The groups that are shown of a handler, the latest first.
  of(handler, fingerprint = null) {
    return this.shown(({ group }) => group.handler === handler && (fingerprint === null || group.fingerprint === fingerprint));
  }

  ofService(service) {
    return this.shown(({ group }) => serviceOf(group.handler) === service);
  }

  shown(isMeant) {
    return [...this.cards.values()].filter((card) => card.item.isConnected && isMeant(card)).map(({ item }) => item);
  }

  // One letter, in its group, which is opened; null where it is none any more.
  async letterOf(handler, eventId) {
    const { letters } = await this.context.api.get("events/dead", { handler, event_id: eventId });
    const card = this.cards.get(`${handler} ${letters[0]?.fingerprint}`);
    if (!card) return null;
    card.wanted = eventId;
    await this.open(card, true);
    return card.known.get(deathOf(letters[0])) ?? null;
  }

  card(group) {
    const card = { group, number: make("b"), cause: new Folded("Cause"), times: make("small"), letters: make("ul", { class: "letters", hidden: "" }), known: new Map(), isOpen: false };
    const all = { handler: group.handler, fingerprint: group.fingerprint };
    card.button = button("Look", () => this.look(card), { "aria-expanded": "false" });
    const of = `${group.error} in ${group.handler}`;
    card.item = make("li", { class: "card", "data-group": group.fingerprint },
      make("h3", {}, make("span", { class: "bad" }, group.error), " in ", named(group.handler, { consumer: group.handler })),
      card.cause.element, make("p", { class: "soft" }, card.number, ` · ${group.frame || "no code of its own"} · `, card.times),
      make("p", { class: "acts" }, card.button,
        button("Replay all", () => this.replay(all, card.group.events), { "aria-label": `Replay all: ${of}` }),
        button("Drop all", () => this.drop(all, card.group.events), { class: DANGER, "aria-label": `Drop all: ${of}` })),
      card.letters);
    return card;
  }

  // The address then says what is looked at, so that it can be handed on.
  async look(card) {
    const { handler, fingerprint } = card.group;
    this.context.renew(card.isOpen ? {} : { dead: handler, group: fingerprint });
    await this.open(card, !card.isOpen);
  }

  async open(card, isOpen) {
    card.isOpen = isOpen;
    card.button.setAttribute("aria-expanded", String(card.isOpen));
    card.letters.hidden = !card.isOpen;
    if (card.isOpen) await this.load(card);
  }

  // The letters as they are now; those that are shown stay as they are, folded or not.
  async load(card) {
    const { handler, fingerprint } = card.group;
    try {
      const { letters, more } = await this.context.api.get("events/dead", { handler, fingerprint });
      if (more && card.wanted && !letters.some((each) => each.event_id === card.wanted)) {
        letters.push(...(await this.context.api.get("events/dead", { handler, fingerprint, event_id: card.wanted })).letters);
      }
      const deaths = new Set(letters.map(deathOf));
      for (const [death, item] of card.known) if (!deaths.has(death)) { item.remove(); card.known.delete(death); }
      for (const each of letters) {
        if (card.known.has(deathOf(each))) continue;
        card.known.set(deathOf(each), this.letter(each, letters.length === 1));
        card.letters.append(card.known.get(deathOf(each)));
      }
      card.more?.remove();
      card.more = more ? make("li", {}, "There are more; the oldest are shown.") : null;
      if (more) card.letters.append(card.more);
    } catch (error) {
      say(this.note, error.message);
    }
  }

  letter(letter, isOnly) {
    const one = { handler: letter.handler, event_id: letter.event_id };
    const key = letter.key === null ? "no key" : `key ${letter.key}`;
    return make("li", { "data-event": letter.event_id }, make("h4", {}, `${letter.type} · ${key}`),
      make("p", { class: "soft" }, `${plural(letter.attempts, "attempt")}, died ${when(letter.died_at)}${letter.holds ? "; those behind it under its key wait for it" : ""}`),
      new Folded("Cause").show(`${letter.error}: ${letter.cause || "no words"}`),
      make("details", isOnly ? { open: "" } : {}, make("summary", {}, `The event, ${bytes(letter.body.length)}`),
        make("pre", { tabindex: 0, "aria-label": "The event, with secrets hidden" }, letter.body)),
      make("p", { class: "acts" }, letter.trace_id ? make("a", { href: `#/trace/${letter.trace_id}` }, "Its trace") : null,
        make("a", { href: `#/events?${new URLSearchParams({ dead: letter.handler, event: letter.event_id })}`, "aria-label": `Link to ${letter.event_id}` }, "Link to it"),
        button("Replay", () => this.replay(one, 1), { "aria-label": `Replay ${letter.event_id}` }), button("Drop", () => this.drop(one, 1), { class: DANGER, "aria-label": `Drop ${letter.event_id}` })));
  }

  async replay(chosen, number) {
    await this.act("replay", chosen, ({ events, out_of_order: late }) =>
      (events ? `${plural(events, "event")} replayed.` : `Nothing replayed: the handler of ${number === 1 ? "it" : "them"} is not there any more.`) +
      (late ? ` ${plural(late, "event")} out of order: later ones of the same key may have been handled.` : ""));
  }

  async drop(chosen, number) {
    const text = `${chosen.handler} will never handle ${number === 1 ? "it" : "them"}. This cannot be undone.`;
    if (await asked(`Drop ${plural(number, "dead letter")}?`, make("p", {}, text), { yes: "Drop", no: "Keep", danger: true })) {
      await this.act("drop", chosen, ({ events }) => `${plural(events, "event")} dropped.`);
    }
  }

  async act(verb, chosen, told) {
    try {
      say(this.note, told(await this.context.api.post(`events/${verb}`, chosen)));
      await this.refresh();
      this.note.focus();
    } catch (error) {
      say(this.note, error.message);
    }
  }
}
