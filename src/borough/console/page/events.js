// Topics and who hears them, and what could not be handled.
//
// The address says what is to be shown: `?dead=HANDLER`, with `group=FINGERPRINT` or `event=ID`; `?consumer=HANDLER`,
// with `topic=TOPIC`; `?topic=TOPIC`; `?publisher=SERVICE`; `?service=NAME`, of which whatever is worst.

import { Consumers, Topics, serviceOf } from "./consumers.js";
import { Dead } from "./dead.js";
import { count, empty, make, plural, say } from "./elements.js";
import { FirstCall } from "./first_call.js";
import { mark } from "./marking.js";

export const title = "Events";
export const path = "events";

const CONSUMERS_ID = "consumers-words";
const TOPICS_ID = "topics-words";

const total = (topics, of) => topics.reduce((all, topic) => all + topic.handlers.reduce((sum, each) => sum + (each[of] ?? 0), 0), 0);

// Whether there has never been an event, as far as topics know: null is a topic that cannot be asked.
const isSilent = (topics) => topics.every(({ facts, outbox, handlers }) => facts?.records === 0 && !outbox && handlers.every((each) => !each.parked && !each.dead));

// What a word means, where it stands first.
function words(id, first, meanings) {
  return make("p", { class: "soft words", id }, first, meanings.map(([word, meaning]) => [" ", make("dfn", {}, word), `: ${meaning}.`]));
}

function aboutConsumers() {
  return words(CONSUMERS_ID, "A consumer is a handler of a service that hears a topic.", [
    ["Behind", "events that it has not come to yet"],
    ["Oldest", "for how long the oldest of them has waited, or over so long where it was there before anybody looked"],
    ["Handles", "events a second in the last minute"],
    ["Tried", "attempts of the last five minutes"],
    ["Parked", "events that have failed and are tried again later, with those that wait behind them under the same key"],
    ["Dead", "events that it has given up"]]);
}

function aboutTopics() {
  return words(TOPICS_ID, "A topic carries the events of one contract.", [
    ["Published", "events a second in the last minute"],
    ["Retains", "for how long events stay in it, also when they are handled"],
    ["In the outbox", "events that are committed, and that the broker has not taken yet"],
    ["For later", "events that are published for a time that has not come"]]);
}

// The elements that the address asks for, in the order in which they are looked for, and a sentence where what it names is not there.
async function asked(query, dead, consumers, topics) {
  const [handler, event, group] = ["dead", "event", "group"].map((name) => query.get(name));
  if (handler !== null) {
    const letter = event === null ? null : await dead.letterOf(handler, event);
    const found = letter ? [letter] : event === null ? dead.of(handler, group) : [];
    const gone = event === null ? `${handler} has no dead letter${group === null ? "" : " of this kind"} now.`
      : `Event ${event} is no dead letter of ${handler} now: it may have been handled, replayed or dropped since.`;
    return found.length ? { found } : { found: consumers.of(handler), gone };
  }
  const [consumer, topic, publisher, service] = ["consumer", "topic", "publisher", "service"].map((name) => query.get(name));
  if (consumer !== null) return { found: consumers.of(consumer, topic), gone: `There is no consumer ${consumer} now.` };
  if (topic !== null) return { found: topics.of(topic), gone: `There is no topic ${topic} now.` };
  if (publisher !== null) return { found: topics.ofService(publisher), gone: `${publisher} publishes nothing now.` };
  if (service === null) return { found: [] };
  const found = [dead.ofService(service), consumers.ofService(service), topics.ofService(service)].find((each) => each.length) ?? [];
  return { found, gone: `${service} neither hears nor publishes events.` };
}

export async function render(root, context) {
  root.append(make("h1", {}, title));
  let system;
  let first;
  try {
    [system, first] = await Promise.all([context.facts(), context.api.get("events")]);
  } catch (error) {
    if (error.status !== 503) throw error;
    root.append(empty("Nobody answers now", error.message));
    return;
  }
  const note = make("p", { id: "note", role: "status", tabindex: -1 });
  const facts = make("p", { class: "soft", id: "facts" });
  const dead = new Dead(context, note);
  const calm = make("p", { class: "soft", id: "calm" }, "No event is dead: each one was handled, or is still tried.");
  const unknown = make("p", { class: "soft", id: "unmeasured", hidden: "" },
    "How consumers get on is not known now: whoever judges alerts measures it, and nobody does where alerts.enabled = false, nor in the first seconds.");
  const away = make("p", { class: "soft", id: "unasked", hidden: "" });
  const [consumers, topics] = [new Consumers(CONSUMERS_ID), new Topics(system, TOPICS_ID)];
  const publishers = [...new Set(first.topics.map((each) => serviceOf(each.topic)))];
  const none = first.topics.length && isSilent(first.topics)
    ? new FirstCall(system, "No event yet", "With the first one each consumer says how far behind it is; what fails is listed here with its cause, to be looked at and replayed.", publishers) : null;

  function showTopics(found) {
    none?.show(isSilent(found));
    consumers.show(found);
    topics.show(found);
    const handlers = found.flatMap((each) => each.handlers);
    unknown.hidden = !handlers.length || handlers.some((each) => each.pace !== null);
    const why = found.find((each) => each.unasked)?.unasked;
    away.hidden = !why;
    say(away, why ? `The broker cannot be asked, so what topics hold is not known: ${why}. What is published waits in the outboxes.` : "");
    say(facts, `${plural(found.length, "topic")} · ${plural(total(found, "behind"), "event")} behind · ${count(total(found, "parked"))} parked, to be tried again · ${count(total(found, "dead"))} dead, given up`);
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
  if (!first.topics.length) root.append(empty("No event yet", "A contract names what it tells: @contract(..., publishes=[...])."));
  else {
    root.append(...(none ? [none.element] : []), note, make("h2", {}, "Dead letters"),
      make("p", { class: "soft words" }, "A ", make("dfn", {}, "dead letter"), " is an event that its consumer has given up after the last attempt. It stays here for a time, unless somebody has it replayed, which is to be handled again, or drops it."),
      calm, dead.place, make("h2", {}, "Consumers"), aboutConsumers(), away, unknown, consumers.element, make("h2", {}, "Topics"), aboutTopics(), topics.element);
  }
  showTopics(first.topics);
  showDead(keyed(first.dead));
  context.follow(["event-topics", "dead-letters"], (topic, values) => {
    if (topic === "event-topics") showTopics([...values.values()].sort((a, b) => (a.topic < b.topic ? -1 : 1)));
    else showDead([...values].sort(([, a], [, b]) => b.last_at - a.last_at));
  });
  try {
    const { found, gone } = await asked(context.query, dead, consumers, topics);
    if (found.length) mark(found);
    if (gone && (!found.length || context.query.has("dead"))) say(note, gone);
  } catch (error) {
    say(note, error.message);
  }
}
