// One trace: what stands below what, when it began, how long it took, and what was logged in it.

import { duration, listed, make, plural, say } from "./elements.js";
import { scaleOf } from "./scale.js";

const HUES = 8;
const DEEPEST = 14;
const YOUNG_MS = 15000;
const AGAIN_MS = 2000;
const LATER_MS = 10000; // an event may be handled minutes after the answer
const MOST_LINES = 6;
const VIEWS = [["all", "All"], ["critical", "Needed"], ["told", "Failed or logged"]];
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

// A service's colour, the same in each trace.
export function hueOf(facts) {
  const places = new Map(facts.services.map((each, index) => [each.name, 1 + (index % HUES)]));
  return (name) => `hue-${places.get(name) ?? 0}`;
}

function kindOf({ kind, attributes }, waitsFor) {
  if (waitsFor && kind === 1) return ["", "work"]; // its name says it
  if (Object.keys(attributes).some((name) => name.startsWith("db."))) return ["db", "database"];
  return { 2: ["answers", "server"], 3: ["asks", "client"], 4: ["tells", "event"], 5: ["hears", "event"] }[kind] ?? ["does", "work"];
}

// What can be looked for has a link: a thing's id.
function shown(name, value) {
  const isId = name.startsWith("app.") || name === "borough.event.key";
  return isId ? make("a", { href: `#/traces?${new URLSearchParams({ text: `${name}=${value}` })}`, title: "Every trace with it" }, String(value)) : String(value);
}

const tried = ({ span: { kind, attributes } }) => [attributes["messaging.consumer.group.name"], kind === 5 ? attributes["messaging.message.id"] : null];

// Where Events shows what became of an attempt at an event; null for anything else.
function inEvents(row) {
  const [handler, event] = tried(row);
  if (!handler || !event) return null;
  return `#/events?${new URLSearchParams(row.is_error ? { dead: handler, event } : { consumer: handler })}`;
}

// Where the event is that was given up after its last attempt and has not been handled since; null where none was.
export function deadIn(rows) {
  const latest = new Map();
  for (const row of [...rows].sort((a, b) => a.offset_ms - b.offset_ms)) if (inEvents(row)) latest.set(tried(row).join(" "), row);
  const dead = [...latest.values()].find(({ span: { attributes }, is_error: isError }) => isError && attributes["borough.attempt"] >= attributes["borough.attempts"]);
  return dead ? inEvents(dead) : null;
}

function detail(row) {
  const { span, self_ms: own, offset_ms: offset, duration_ms: took, waits_for: waitsFor } = row;
  const elsewhere = span.links.filter(([trace]) => trace !== span.trace_id);
  const facts = [["began", `${duration(offset)} after the beginning`], ["took", `${duration(took)}, ${duration(own)} of it ${waitsFor ? `waiting for ${waitsFor}` : "in itself"}`],
    ...(span.message ? [["message", span.message]] : []),
    ...Object.entries(span.attributes).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [name, shown(name, value)]),
    ["instance", span.instance], ["span id", span.span_id], ...(inEvents(row) ? [["its consumer", make("a", { href: inEvents(row) }, "See it in Events")]] : []),
    ...elsewhere.map(([trace]) => ["linked trace", make("a", { href: `#/trace/${trace}` }, trace)])];
  return make("dl", { class: "detail" }, facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function placed(element, from, to) {
  element.style.left = `${from * 100}%`;
  element.style.width = `${Math.max(0, to - from) * 100}%`;
  return element;
}

// What stands below a line's first, such as a traceback, as it was written; where it is long, its end says what it was.
function written(lines) {
  const all = make("pre", { tabindex: 0, "aria-label": "The further lines, with secrets hidden" }, lines.join("\n"));
  return lines.length > MOST_LINES
    ? make("details", {}, make("summary", {}, `${lines[lines.length - 1]} `, make("small", {}, plural(lines.length, "line"))), all) : all;
}

function logLine(line, began) {
  const level = line.level.toLowerCase();
  const [first, ...further] = line.text.trimEnd().split("\n");
  return make("li", { class: line.severity >= 17 ? "bad" : "" }, make("b", {}, level), ` ${first} `,
    make("small", {}, `${duration((line.at_ns - began) / 1e6)} after the beginning`), further.length ? written(further) : null);
}

class Waterfall {
  constructor(view, hue, context) {
    this.view = view;
    this.context = context;
    this.hue = hue;
    this.opened = new Set([context.query.get("span")].filter(Boolean));
    this.folded = new Set();
    this.only = "all";
    this.place = make("ol", { class: "waterfall", id: "waterfall", "aria-label": "Spans, each below its caller" });
    this.place.addEventListener("click", (event) => this.clicked(event));
    this.place.addEventListener("keydown", (event) => this.pressed(event));
    this.drawAll();
  }

  drawAll() {
    const { rows } = this.view;
    const focused = this.place.contains(document.activeElement) ? document.activeElement.dataset : null;
    this.scale = scaleOf(rows);
    this.rows = new Map(rows.map((row, index) => [row.span.span_id, { row, hasBelow: (rows[index + 1]?.depth ?? 0) > row.depth }]));
    for (const [id, entry] of this.rows) entry.item = this.item(id, entry);
    this.place.replaceChildren(...[...this.rows.values()].map((each) => each.item));
    this.hide();
    const item = this.rows.get(focused?.open ?? focused?.fold)?.item;
    item?.querySelector(focused.fold ? "button.fold" : ".name")?.focus({ preventScroll: true });
  }

  item(id, { row, hasBelow }) {
    const { span } = row;
    const [word, kind] = kindOf(span, row.waits_for);
    const name = make("button", { type: "button", class: "name", "data-open": id, "aria-expanded": String(this.opened.has(id)) }, span.name);
    const fold = hasBelow ? make("button", { type: "button", class: "fold", "data-fold": id, "aria-expanded": String(!this.folded.has(id)), "aria-label": `What is below ${span.name}` }, "▾")
      : make("span", { class: "fold", "aria-hidden": "true" });
    const what = make("div", { class: "what" }, fold, make("span", { class: `chip ${this.hue(span.service)}` }, span.service),
      word ? make("span", { class: "kind" }, word) : null, name, row.is_error ? make("b", { class: "bad" }, "failed") : null,
      make("span", { class: "hidden" }, row.is_critical ? " needed for the answer, " : " ", `level ${row.depth + 1}`));
    what.style.paddingLeft = `${Math.min(DEEPEST, row.depth) * 0.8}rem`;
    const from = this.scale.at(row.offset_ms);
    const bar = placed(make("i", { class: `bit ${kind} ${row.is_error ? "failed" : ""} ${row.is_critical ? "critical" : ""} ${row.waits_for ? "waits" : ""} ${this.hue(span.service)}` }), from, this.scale.at(row.offset_ms + row.duration_ms));
    const breaks = this.scale.breaks.map(([at]) => placed(make("i", { class: "break" }), at, at));
    return make("li", { "data-span": id, class: row.is_error ? "failed" : null }, what,
      make("div", { class: "when", "aria-hidden": "true" }, breaks, bar), make("span", { class: "took" }, duration(row.duration_ms)),
      row.lines.length ? make("ul", { class: "logs", "aria-label": "Logged here" }, row.lines.map((line) => logLine(line, this.view.began_ns))) : null,
      this.opened.has(id) ? detail(row) : null);
  }

  // What is folded away, or not asked for.
  hide() {
    let below = Infinity;
    for (const [id, { row, item }] of this.rows) {
      if (row.depth <= below) below = Infinity;
      const isWanted = this.only === "all" || (this.only === "critical" ? row.is_critical : row.is_error || row.lines.length > 0);
      item.hidden = row.depth > below || !isWanted;
      if (below === Infinity && this.folded.has(id)) below = row.depth;
    }
  }

  look(only) {
    this.only = only;
    this.hide();
  }

  clicked(event) {
    const { open, fold } = event.target.closest("button")?.dataset ?? {};
    if (fold) this.turn(fold);
    if (!open) return;
    const { row, item } = this.rows.get(open);
    const isOpen = !this.opened.delete(open) && Boolean(this.opened.add(open));
    item.querySelector(".name").setAttribute("aria-expanded", String(isOpen));
    if (isOpen) item.append(detail(row));
    else item.querySelector(".detail").remove();
    this.context.renew(isOpen ? { span: open } : {});
  }

  turn(id) {
    if (!this.folded.delete(id)) this.folded.add(id);
    this.rows.get(id).item.querySelector("button.fold").setAttribute("aria-expanded", String(!this.folded.has(id)));
    this.hide();
  }

  pressed(event) {
    const item = event.target.closest("li[data-span]");
    if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
    const id = item.dataset.span;
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (step) {
      let to = item[step];
      while (to?.hidden) to = to[step];
      to?.querySelector(".name").focus();
    } else if (event.key === (this.folded.has(id) ? "ArrowRight" : "ArrowLeft") && this.rows.get(id).hasBelow) this.turn(id);
    else return;
    event.preventDefault();
  }
}

const PUSHED = ".push-"; // in the name of a handler that sends events on to somebody else
const handlerOf = ({ service, attributes }) => (attributes["messaging.consumer.group.name"] ?? "").split(PUSHED)[1] ?? service;

// Who hears an event of this trace and has not been seen handling it, by service.
export function unheard({ rows, is_partial: isPartial }, hearings) {
  if (isPartial) return []; // nobody knows what belongs to it
  const heard = new Set(rows.filter(({ span }) => span.kind === 5).map(({ span }) => `${span.parent} ${handlerOf(span)}`));
  const created = rows.filter(({ span }) => span.kind === 4 && span.attributes["messaging.operation.name"] === "create");
  return [...new Set(created.flatMap(({ span }) => hearings
    .filter(({ events, subscriber }) => events.includes(span.attributes["borough.event.type"]) && !heard.has(`${span.span_id} ${subscriber}`))
    .map(({ subscriber }) => subscriber)))];
}

function facts(view, hearings) {
  const waiting = unheard(view, hearings);
  const later = view.total_ms > view.duration_ms * 1.001 ? `, ${duration(view.total_ms)} until its last event was handled` : "";
  return `${moment.format(new Date(view.began_ns / 1e6))} · answered in ${duration(view.duration_ms)}${later} · ${plural(view.rows.length, "span")}${view.is_partial ? " · partial: only what was bad or slow was recorded" : ""}${view.is_coming ? " · still coming in" : waiting.length ? ` · an event of it has not been seen handled by ${listed(waiting)} yet` : ""}`;
}

function legend(waterfall) {
  const entry = (look, text) => make("span", {}, make("i", { class: `bit ${look}` }), text);
  return make("p", { class: "legend" }, entry("critical", "needed for the answer"), entry("", "beside it"), entry("critical waits", "waiting"), entry("event", "event"), entry("failed", "failed"),
    waterfall.scale.breaks.map(([, left]) => make("span", {}, make("i", { class: "break" }), `${duration(left)} left out`)));
}

// What of a trace may change while it is looked at.
const signOf = ({ rows, why, is_coming: isComing }) => [rows.length, rows.reduce((all, row) => all + row.lines.length, 0), why, isComing].join(" ");

export async function showTrace(root, context) {
  const id = context.rest[0] ?? "";
  const ask = () => context.api.get(`traces/${encodeURIComponent(id)}`);
  const [system, view] = await Promise.all([context.facts(), ask()]);
  const hue = hueOf(system);
  const waterfall = new Waterfall(view, hue, context);
  const switches = make("fieldset", { class: "switch", id: "views" }, make("legend", { class: "hidden" }, "Show"),
    VIEWS.map(([value, text]) => {
      const input = make("input", { type: "radio", name: "view", value });
      input.checked = value === "all";
      return make("label", {}, input, make("span", {}, text));
    }));
  switches.addEventListener("change", (event) => waterfall.look(event.target.value));
  const told = make("p", { class: "soft", id: "facts" }, facts(view, system.hearings));
  const why = make("p", { id: "why", class: view.error ? "why bad" : "why" });
  const services = make("p", { class: "services" });
  const key = make("div");
  const showHead = (now) => {
    say(told, facts(now, system.hearings));
    const dead = deadIn(now.rows);
    why.replaceChildren(now.why, ...(dead ? [" ", make("a", { href: dead }, "See it in Events")] : []));
    why.classList.toggle("bad", now.error);
    services.replaceChildren(...now.services.map((name) => make("a", { class: `chip ${hue(name)}`, href: `#/services/${encodeURIComponent(name)}` }, name)));
    key.replaceChildren(legend(waterfall));
  };
  showHead(view);
  root.append(make("p", {}, make("a", { href: "#/traces" }, "All traces")),
    make("div", { class: "heading" }, make("h1", {}, view.name.startsWith(`${view.service}.`) ? view.name : `${view.service} ${view.name}`), make("code", {}, view.trace_id)),
    why, told, services, make("div", { class: "bar" }, switches, key), waterfall.place);
  const opened = context.query.get("span");
  if (opened) setTimeout(() => waterfall.rows.get(opened)?.item.scrollIntoView({ block: "center" }));

  // A trace goes on growing: spans come from every process in its own time, and events are handled whenever they are.
  let timer = null;
  let shown = signOf(view);
  const follow = (now) => {
    const isYoung = now.is_coming || Date.now() - now.began_ns / 1e6 - now.total_ms < YOUNG_MS;
    timer = setTimeout(async () => {
      const next = document.hidden ? now : await ask().catch(() => now);
      if (timer === null) return;
      if (signOf(next) !== shown) {
        shown = signOf(next);
        const more = next.rows.length - waterfall.view.rows.length;
        waterfall.view = next;
        waterfall.drawAll();
        showHead(next);
        if (more > 0) context.say(`${plural(more, "more span")} came in`);
      }
      follow(next);
    }, isYoung ? AGAIN_MS : LATER_MS);
  };
  follow(view);
  return () => {
    clearTimeout(timer);
    timer = null;
  };
}
