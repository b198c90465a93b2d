// Topics and who hears them, and what could not be handled: look at it, replay it, drop it.

import { asked } from "./dialog.js";
import { button, bytes, count, empty, make, plural, say, serviceLink, table } from "./elements.js";
import { FirstCall } from "./first_call.js";

export const title = "Events";
export const path = "events";

const TOPICS = [{ title: "Topic" }, { title: "Keeps" }, { title: "Holds", number: true }, { title: "Size", number: true }, { title: "In the outbox", number: true },
  { title: "For later", number: true }];
const HANDLERS = [{ title: "Consumer" }, { title: "Hears" }, { title: "Behind", number: true }, { title: "Parked", number: true }, { title: "Dead", number: true }];
const MOST_HEARD = 10000; // more are not counted
const SHORT = 160;
const DANGER = "quiet danger"; // what cannot be undone
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const when = (seconds) => moment.format(new Date(seconds * 1000));
const serviceOf = (name) => name.split(".")[0];
const total = (topics, of) => topics.reduce((all, topic) => all + topic.handlers.reduce((sum, each) => sum + (each[of] ?? 0), 0), 0);
// Whether there has never been an event, as far as topics know: null is a topic that cannot be asked.
const isSilent = (topics) => topics.every(({ facts, outbox, handlers }) => facts.records === 0 && !outbox && handlers.every((each) => !each.parked && !each.dead));
const warned = (number, word) => make("span", { class: number ? word : "" }, count(number));

function topicRows(topics) {
  return topics.map((topic) => [[serviceLink(serviceOf(topic.topic)), topic.topic.slice(serviceOf(topic.topic).length)], topic.retains, count(topic.facts.records), bytes(topic.facts.bytes),
    warned(topic.outbox, "open"), count(topic.scheduled)]);
}

function handlerRows(topics) {
  return topics.flatMap((topic) => topic.handlers.map((each) => [
    [serviceLink(serviceOf(each.name)), each.name.slice(serviceOf(each.name).length)], topic.topic,
    each.behind === null ? make("span", { class: "soft" }, "not begun") : warned(each.behind, "open"), warned(each.parked, "open"), warned(each.dead, "bad")]));
}

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

export class Dead {
  constructor(context, note) {
    this.context = context;
    this.note = note;
    this.cards = new Map(); // also those that are not shown now: a group comes back as it was, opened or not
    this.extents = new Map();
    this.place = make("ul", { id: "dead", class: "dead" });
  }

  show(groups) {
    const shown = new Set();
    for (const [key, group] of groups) {
      const card = this.cards.get(key) ?? this.card(group);
      const isAnother = card.group.events !== group.events || card.group.last_at !== group.last_at;
      card.group = group;
      this.count(card);
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

  // Of how many these are, and how many keys wait behind such events.
  count(card) {
    const { heard, keys } = this.extents.get(card.group.handler) ?? { heard: null, keys: 0 };
    const of = heard === null ? "" : ` of ${heard > MOST_HEARD ? `more than ${count(MOST_HEARD)} events` : plural(heard, "event")} that ${card.group.handler} has taken`;
    say(card.number, `${plural(card.group.events, "dead letter")}${of}${keys ? `; events of ${plural(keys, "key")} wait` : ""}`);
  }

  measure(topics) {
    this.extents.clear();
    for (const { name, heard, keys } of topics.flatMap((topic) => topic.handlers)) {
      const known = this.extents.get(name) ?? { heard: null, keys: 0 };
      this.extents.set(name, { heard: heard ?? known.heard, keys: keys + known.keys });
    }
    for (const card of this.cards.values()) this.count(card);
  }

  card(group) {
    const card = { group, number: make("b"), cause: new Folded("Cause"), times: make("small"), letters: make("ul", { class: "letters", hidden: "" }), known: new Map(), isOpen: false };
    const all = { handler: group.handler, fingerprint: group.fingerprint };
    const look = button("Look", () => this.look(card, look), { "aria-expanded": "false" });
    const of = `${group.error} in ${group.handler}`;
    card.item = make("li", { class: "card", "data-group": group.fingerprint },
      make("h3", {}, make("span", { class: "bad" }, group.error), " in ", serviceLink(serviceOf(group.handler)), group.handler.slice(serviceOf(group.handler).length)),
      card.cause.element, make("p", { class: "soft" }, card.number, ` · ${group.frame || "no code of its own"} · `, card.times),
      make("p", { class: "acts" }, look,
        button("Replay all", () => this.replay(all, card.group.events), { "aria-label": `Replay all: ${of}` }),
        button("Drop all", () => this.drop(all, card.group.events), { class: DANGER, "aria-label": `Drop all: ${of}` })),
      card.letters);
    return card;
  }

  async look(card, look) {
    card.isOpen = !card.isOpen;
    look.setAttribute("aria-expanded", String(card.isOpen));
    card.letters.hidden = !card.isOpen;
    if (card.isOpen) await this.load(card);
  }

  // The letters as they are now; those that are shown stay as they are, folded or not.
  async load(card) {
    const { handler, fingerprint } = card.group;
    try {
      const { letters, more } = await this.context.api.get("events/dead", { handler, fingerprint });
      const deaths = new Set(letters.map(deathOf));
      for (const [death, item] of card.known) if (!deaths.has(death)) { item.remove(); card.known.delete(death); }
      for (const each of letters) {
        if (card.known.has(deathOf(each))) continue;
        card.known.set(deathOf(each), this.letter(each, letters.length === 1));
        card.letters.append(card.known.get(deathOf(each)));
      }
      card.more?.remove();
      card.more = more ? make("li", {}, "There are more; these are the oldest.") : null;
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

export async function render(root, context) {
  root.append(make("h1", {}, title));
  let found;
  try {
    found = await context.api.get("events");
  } catch (error) {
    if (error.status !== 503) throw error;
    root.append(empty("Nobody answers now", error.message));
    return;
  }
  const note = make("p", { id: "note", role: "status", tabindex: -1 });
  const facts = make("p", { class: "soft", id: "facts" });
  const dead = new Dead(context, note);
  const calm = make("p", { class: "soft", id: "calm" }, "No event is dead: each one was handled, or is still tried.");
  const tables = make("div");
  const publishers = [...new Set(found.topics.map((each) => serviceOf(each.topic)))];
  const system = found.topics.length && isSilent(found.topics) ? await context.facts() : null;
  const first = system && new FirstCall(system, "No event yet", "With the first one each consumer says how far behind it is; what fails is listed here with its cause, to be looked at and replayed.", publishers);
  let shown = "";

  function showTopics(topics) {
    first?.show(isSilent(topics));
    dead.measure(topics);
    say(facts, `${plural(topics.length, "topic")} · ${count(total(topics, "behind"))} behind · ${count(total(topics, "parked"))} parked · ${count(total(topics, "dead"))} dead`);
    const text = JSON.stringify(topics);
    if (text === shown || tables.contains(document.activeElement)) return;
    shown = text;
    tables.replaceChildren(make("h2", {}, "Consumers"), table("Consumers and how far they are", HANDLERS, handlerRows(topics), { id: "consumers" }),
      make("h2", {}, "Topics"), table("Topics and what they hold", TOPICS, topicRows(topics), { id: "topics" }));
  }
  function showDead(groups) {
    dead.show(groups);
    calm.hidden = groups.length > 0;
  }
  const keyed = (groups) => groups.map((group) => [`${group.handler} ${group.fingerprint}`, group]);
  dead.refresh = async () => {
    const now = await context.api.get("events");
    showTopics(now.topics);
    showDead(keyed(now.dead));
    await Promise.all([...dead.cards.values()].filter((card) => card.isOpen && card.item.isConnected).map((card) => dead.load(card)));
  };
  root.firstChild.replaceWith(make("div", { class: "heading" }, make("h1", {}, title), facts));
  if (!found.topics.length) root.append(empty("No event yet", "A contract names what it tells: @contract(..., publishes=[...])."));
  else root.append(...(first ? [first.element] : []), note, make("h2", {}, "Dead letters"), calm, dead.place, tables);
  showTopics(found.topics);
  showDead(keyed(found.dead));
  context.follow(["event-topics", "dead-letters"], (topic, values) => {
    if (topic === "event-topics") showTopics([...values.values()].sort((a, b) => (a.topic < b.topic ? -1 : 1)));
    else showDead([...values].sort(([, a], [, b]) => b.last_at - a.last_at));
  });
}
