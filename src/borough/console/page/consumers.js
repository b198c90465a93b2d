// Who hears which topic and how each gets on, and what each topic is given: tables whose rows stay the elements that they are.

import { age, bytes, count, listed, make, rate, say, serviceLink, table } from "./elements.js";

const CONSUMERS = [{ title: "Consumer" }, { title: "How it goes" }, { title: "Behind", number: true }, { title: "Oldest", number: true },
  { title: "Handles", number: true }, { title: "Tried", number: true }, { title: "Parked", number: true }, { title: "Dead", number: true }];
const TOPICS = [{ title: "Topic" }, { title: "Published", number: true }, { title: "Published by" }, { title: "Retains" }, { title: "Events", number: true },
  { title: "Size", number: true }, { title: "In the outbox", number: true }, { title: "For later", number: true }];
const TRENDS = { level: ["up to date", ""], "catching-up": ["catching up", "open"], "falling-behind": ["falls behind", "bad"],
  "as-far": ["stays as far behind", "open"], still: ["stands still", "bad"], unknown: ["too early to say", "soft"] };
const SOON_S = 10; // of less nothing is said
const WHOLE_S = 295; // as good as five minutes

export const serviceOf = (name) => name.split(".")[0];

// The service's link, and behind it one that leads to this very consumer or topic.
export const named = (name, query) => [serviceLink(serviceOf(name)), make("a", { href: `#/events?${new URLSearchParams(query)}` }, name.slice(serviceOf(name).length))];

// Rows by key. An entry: {key, service, head() made once, cells: [text, class] each}.
class Rows {
  constructor(caption, columns, attributes) {
    this.element = table(caption, columns, [], attributes);
    this.body = this.element.querySelector("tbody");
    this.columns = columns;
    this.rows = new Map();
  }

  show(entries) {
    const keys = new Set(entries.map(({ key }) => key));
    for (const [key, { row }] of this.rows) if (!keys.has(key)) { row.remove(); this.rows.delete(key); }
    entries.forEach((entry, index) => {
      const known = this.rows.get(entry.key) ?? this.row(entry);
      entry.cells.forEach(([text, look = ""], at) => {
        say(known.cells[at], text);
        known.cells[at].className = look;
      });
      if (this.body.children[index] !== known.row) this.body.insertBefore(known.row, this.body.children[index] ?? null);
    });
  }

  row({ key, service, head, cells }) {
    const own = cells.map(() => make("span"));
    const row = make("tr", { "data-key": key, "data-service": service }, make("th", { scope: "row" }, head()),
      own.map((cell, index) => make("td", { class: this.columns[index + 1].number ? "number" : null }, cell)));
    this.rows.set(key, { row, cells: own });
    return this.rows.get(key);
  }
}

// What is given up is behind it as well: who comes along and can handle nothing is in trouble.
function goes({ trend, left_s: left, attempts, failures }) {
  const [text, look] = TRENDS[trend];
  if (attempts && failures === attempts) return [`${text}, but every attempt failed`, "bad"];
  return [left === null ? text : `${text}, about ${age(left)} left`, look];
}

function tried({ attempts, failures, over_s: over }) {
  if (over < SOON_S) return ["–"];
  return [[count(attempts), failures ? `${count(failures)} failed` : null, over < WHOLE_S ? `in ${age(over)}` : null].filter(Boolean).join(" · "), failures ? "open" : ""];
}

function consumerCells({ behind, parked, dead, pace }) {
  const rest = [[count(parked), parked ? "open" : ""], [count(dead), dead ? "bad" : ""]];
  const far = [count(behind), behind && pace?.trend !== "level" ? "open" : ""]; // a dash where no process that has its database tells
  if (pace === null) return [["not known", "soft"], far, ["–"], ["–"], ["–"], ...rest];
  const oldest = pace.oldest_s === null ? "–" : `${pace.is_at_least ? "over " : ""}${age(pace.oldest_s)}`;
  return [goes(pace), far, [oldest], [pace.over_s < SOON_S ? "–" : rate(pace.per_s)], tried(pace), ...rest];
}

export class Consumers {
  constructor(describedBy) {
    this.rows = new Rows("Consumers and how far they are", CONSUMERS, { id: "consumers", "aria-describedby": describedBy });
    this.element = this.rows.element;
  }

  show(topics) {
    this.rows.show(topics.flatMap(({ topic, handlers }) => handlers.map((each) => ({
      key: `${each.name} ${topic}`, service: serviceOf(each.name), head: () => [named(each.name, { consumer: each.name, topic }), make("small", {}, ` hears ${topic}`)], cells: consumerCells(each) }))));
  }

  // The rows of a handler, of one topic or of all.
  of(handler, topic = null) {
    return [...this.rows.rows].filter(([key]) => (topic === null ? key.startsWith(`${handler} `) : key === `${handler} ${topic}`)).map(([, { row }]) => row);
  }

  ofService(service) {
    return [...this.rows.rows.values()].map(({ row }) => row).filter((row) => row.dataset.service === service);
  }
}

export class Topics {
  constructor(facts, describedBy) {
    this.types = new Map(facts.services.flatMap((service) => service.contracts).map((each) => [each.wire_name, each.events.map(({ name }) => name)]));
    this.rows = new Rows("Topics and what they are given", TOPICS, { id: "topics", "aria-describedby": describedBy });
    this.element = this.rows.element;
  }

  show(topics) {
    this.rows.show(topics.map((each) => ({ key: each.topic, service: serviceOf(each.topic), head: () => this.head(each.topic),
      cells: [[rate(each.published_per_s)], [serviceOf(each.topic)], [each.retains], [count(each.facts?.records)], [bytes(each.facts?.bytes)], [count(each.outbox), each.outbox ? "open" : ""], [count(each.scheduled)]] })));
  }

  head(topic) {
    const types = this.types.get(topic) ?? [];
    return [named(topic, { topic }), types.length ? make("small", {}, ` ${listed(types)}`) : null];
  }

  of(topic) {
    const found = this.rows.rows.get(topic);
    return found ? [found.row] : [];
  }

  ofService(service) {
    return [...this.rows.rows.values()].map(({ row }) => row).filter((row) => row.dataset.service === service);
  }
}
