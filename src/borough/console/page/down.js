// Whether a service is down, since when and why: what its supervisor knows of its processes, in words.

import { make, plural, say, serviceLink } from "./elements.js";

const LATELY_S = 120;
const AGAIN = { waiting: "is begun anew in a moment", starting: "starts again", ready: "runs again", draining: "drains", failed: "stays down" };
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export const time = (seconds) => clock.format(new Date(seconds * 1000));

// Null for one that runs, or of which nothing can be said. One whose process is there and does not tell is silent, not down.
export function downOf(service, found) {
  if (service.runs !== "here" || !found || found.processes.length) return null;
  if (found.down_since === null) return { isDown: false, text: found.replicas.length ? "starts for the first time" : "not seen yet" };
  const isSilent = !found.replicas.length || found.replicas.some((each) => each.state === "ready");
  return { isDown: true, text: `${isSilent ? "no word" : "down"} since ${time(found.down_since)}` };
}

// "search.1 has ended by itself 4 times, the last time at 12:03:10: has ended by itself with status 70; it runs again."
export function endOf(replica) {
  if (replica.ended_at === null) return "";
  const times = replica.restarts > 1 ? `${plural(replica.restarts, "time")}, the last time at` : "at";
  const now = AGAIN[replica.state];
  return `${replica.name} ended ${times} ${time(replica.ended_at)}: ${replica.why ?? "nobody knows why"}${now ? `; it ${now}` : ""}.`;
}

const latestOf = (replicas) => replicas.filter((each) => each.ended_at !== null).sort((a, b) => b.ended_at - a.ended_at)[0];

// Which services are down or were a moment ago, and then which replicas have ended of those that were not: each of these once.
export function rowsOf(declared, services, now) {
  const found = declared.filter((each) => services.has(each.name)).map((each) => [each, services.get(each.name)]);
  const down = found.filter(([service, each]) => each.was_down || downOf(service, each)?.isDown);
  const rows = down.map(([service, each]) => ({ name: service.name, state: downOf(service, each)?.text ?? "has been down", isBad: true, latest: latestOf(each.replicas) }));
  const told = new Set(down.flatMap(([, each]) => each.replicas.map((one) => one.name)));
  for (const [service, { replicas }] of found) {
    for (const latest of replicas) {
      if (latest.ended_at === null || now - latest.ended_at >= LATELY_S || told.has(latest.name)) continue;
      told.add(latest.name);
      rows.push({ name: service.name, state: "a replica has ended", isBad: false, latest });
    }
  }
  return rows.map(({ latest, ...row }) => ({ ...row, end: latest ? endOf(latest) : "", words: latest?.last_words.at(-1) ?? "" }));
}

// Above the map: who is down, or was a moment ago, and what has ended.
export class DownList {
  constructor(facts) {
    this.facts = facts;
    this.element = make("ul", { id: "down", "aria-label": "What is down or has ended", hidden: "" });
    this.shown = "";
  }

  show(services) {
    const rows = rowsOf(this.facts.services, services, Date.now() / 1000);
    const text = JSON.stringify(rows);
    if (text === this.shown) return;
    this.shown = text;
    this.element.hidden = !rows.length;
    this.element.replaceChildren(...rows.map(({ name, state, isBad, end, words }) => make("li", {}, make("b", {}, serviceLink(name)), " ", make("span", { class: isBad ? "bad" : "" }, state),
      end ? ` · ${end}` : "", words ? [" It said last: ", make("q", {}, words)] : null)));
  }
}

// On the page of a service: how each of its replicas has ended, and what it printed last.
export class Ends {
  constructor() {
    this.element = make("ul", { id: "ends", hidden: "" });
    this.items = new Map();
  }

  show(replicas) {
    const ended = replicas.filter((each) => each.ended_at !== null);
    this.element.hidden = !ended.length;
    for (const [name, { item }] of this.items) {
      if (!ended.some((each) => each.name === name)) { item.remove(); this.items.delete(name); }
    }
    for (const each of ended) {
      let known = this.items.get(each.name);
      if (!known) {
        const [told, words] = [make("p"), make("pre", { tabindex: 0, "aria-label": `The last lines of ${each.name}, with secrets hidden` })];
        const said = make("details", { open: "" }, make("summary", {}, "What it printed last"), words);
        known = { item: make("li", { "data-replica": each.name }, told, said), told, words, said };
        this.items.set(each.name, known);
        this.element.append(known.item);
      }
      known.told.className = each.state === "ready" ? "" : "bad";
      say(known.told, endOf(each));
      known.said.hidden = !each.last_words.length;
      say(known.words, each.last_words.join("\n"));
    }
  }
}
