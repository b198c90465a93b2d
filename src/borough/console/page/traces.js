// What happened, call by call: `#/traces` finds traces, `#/trace/ID` shows one.

import { count, duration, empty, make, plural, say } from "./elements.js";
import { FirstCall } from "./first_call.js";
import { hueOf, showTrace } from "./waterfall.js";

export const title = "Traces";
export const path = "traces";

const TAIL_MS = 2000;
const MOST = 50;
const TYPING_MS = 250;
const TIMES = [["", "any time"], ["300", "last 5 minutes"], ["900", "last 15 minutes"], ["3600", "last hour"], ["86400", "last day"]];
const STATES = [["", "any outcome"], ["error", "failed"], ["ok", "not failed"]];
const BEGUN = [["no", "calls, events"], ["yes", "schedules, too"]]; // one that has failed is shown in any case
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function when(ms) {
  const date = new Date(ms);
  const text = clock.format(date);
  return date.toDateString() === new Date().toDateString() ? text : `${day.format(date)} ${text}`;
}

function choice(name, label, options) {
  return make("label", {}, make("span", {}, label), make("select", { name }, options.map(([value, text]) => make("option", { value }, text))));
}

function field(name, label, attributes) {
  return make("label", {}, make("span", {}, label), make("input", { name, autocomplete: "off", spellcheck: "false", ...attributes }));
}

function searchForm(services, query) {
  const form = make("form", { id: "search", role: "search", class: "search" },
    field("text", "Order id, other id, or NAME=VALUE", { type: "search", id: "text", class: "wide", placeholder: "o-17 or order_id=o-17" }),
    choice("service", "Service", [["", "any service"], ...services.map((name) => [name, name])]),
    field("operation", "Operation", { type: "search", placeholder: "checkout" }),
    choice("status", "Outcome", STATES),
    field("at_least_ms", "At least, ms", { placeholder: "any span", type: "number", min: 0, step: "any", class: "short" }),
    choice("within_s", "Time", TIMES), choice("schedules", "Begun by", BEGUN));
  for (const [name, value] of query) if (form.elements[name]) form.elements[name].value = value;
  return form;
}

const asked = (form) => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value));

// The service stands out, and is not said twice: orders.Orders/checkout, but orders every orders.sweep.
function named({ service, name }) {
  const own = `${service}.`;
  return [make("strong", {}, service), name.startsWith(own) ? name.slice(service.length) : ` ${name}`];
}

// One trace of the list; `longest` is what a full bar means. The link stays the same element, so that it keeps the focus.
function fill(item, trace, longest, hue) {
  const share = Math.max(0.5, 100 * Math.min(1, trace.duration_ms / longest));
  const bar = make("i", { "aria-hidden": "true" });
  bar.style.width = `${share}%`;
  const state = trace.error ? "failed" : trace.is_partial ? "partial" : null;
  const { found } = trace;
  item.link ??= make("a", { class: "what" });
  item.link.href = `#/trace/${trace.trace_id}`;
  item.link.replaceChildren(...named(trace));
  if (!item.contains(item.link)) item.replaceChildren(item.link);
  while (item.link.nextSibling) item.link.nextSibling.remove();
  item.classList.toggle("coming", trace.is_coming);
  item.append(
    make("time", { datetime: new Date(trace.began_ns / 1e6).toISOString() }, when(trace.began_ns / 1e6)),
    make("span", { class: "services" }, trace.services.map((name) => make("span", { class: `chip ${hue(name)}` }, name))),
    make("span", { class: `length ${trace.error ? "failed" : ""}` }, bar,
      make("b", {}, duration(trace.duration_ms))),
    make("span", { class: "soft" }, plural(trace.spans, "span"), trace.is_coming ? " so far" : "", state ? [" · ", make("span", { class: trace.error ? "bad" : "" }, state)] : []),
    make("span", { class: `why ${trace.error ? "bad" : "soft"}` }, trace.why));
  if (found) item.append(make("a", { class: "found", href: `#/trace/${trace.trace_id}?span=${found.span_id}` }, "See ", ...named(found), `, ${duration(found.duration_ms)}`));
}

// Keeps the elements that are there, so that what has the focus keeps it. Where it is held, those that are shown change
// and none comes, goes or moves.
class Results {
  constructor(hue) {
    this.hue = hue;
    this.items = new Map();
    this.isComing = false;
    this.place = make("ol", { id: "found", class: "traces" });
  }

  show(traces, isHeld = false) {
    const longest = Math.max(1, ...traces.map((trace) => trace.duration_ms));
    this.isComing = traces.some((trace) => trace.is_coming);
    const items = new Map();
    traces.forEach((trace, index) => {
      const text = JSON.stringify([trace, longest]);
      if (isHeld && !this.items.has(trace.trace_id)) return;
      const item = this.items.get(trace.trace_id) ?? make("li", { "data-trace": trace.trace_id });
      if (item.shown !== text) {
        fill(item, trace, longest, this.hue);
        item.shown = text;
      }
      if (isHeld) return;
      items.set(trace.trace_id, item);
      if (this.place.children[index] !== item) this.place.insertBefore(item, this.place.children[index] ?? null);
    });
    if (isHeld) return;
    for (const [id, item] of this.items) if (!items.has(id)) item.remove();
    this.items = items;
  }
}

async function list(root, context) {
  const facts = await context.facts();
  const form = searchForm(facts.services.map((each) => each.name), context.query);
  const results = new Results(hueOf(facts));
  const total = make("p", { class: "soft", id: "total", role: "status" });
  const tail = make("button", { type: "button", class: "quiet", id: "tail", "aria-pressed": "false" }, "Pause");
  const nothing = make("div", { hidden: "" });
  const first = new FirstCall(facts, "No trace yet", "Each call shows up here within two seconds, with every service and event that it led to.");
  root.append(make("div", { class: "heading" }, make("h1", {}, title), total, tail), form, results.place, first.element, nothing);
  say(total, "searching");

  let paused = false;
  let timer = null;
  let asking = null;
  let over = false;

  function showFound(traces) {
    results.show(traces);
    const coming = traces.filter((trace) => trace.is_coming).length;
    const since = traces.length === MOST ? `, the latest, since ${when(Math.min(...traces.map((trace) => trace.began_ns)) / 1e6)}` : "";
    say(total, [`${plural(traces.length, "trace")}${since}`, coming ? `${count(coming)} still coming in` : null, paused ? "paused" : "live"].filter(Boolean).join(" · "));
    const isAll = Object.keys(asked(form)).every((name) => name === "schedules"); // nothing was asked for that could be left out
    first.show(!traces.length && isAll);
    nothing.hidden = traces.length > 0 || isAll;
    if (!nothing.hidden && !nothing.childElementCount) {
      nothing.replaceChildren(empty("No trace fits", "What a run has seen is kept for a while. A request to the system shows up here within two seconds; or ask for less above."));
    }
  }

  async function search(isTail = false) {
    asking?.abort();
    const mine = asking = new AbortController();
    clearTimeout(timer);
    try {
      const { traces } = await context.api.get("traces", asked(form), mine.signal);
      if (over || mine.signal.aborted) return;
      const isHeld = isTail && (paused || results.place.matches(":hover")); // nothing moves away under the pointer
      if (isHeld) results.show(traces, true);
      else showFound(traces);
    } catch (error) {
      if (over || mine.signal.aborted) return;
      say(total, error.message);
    }
    next();
  }

  function next() {
    clearTimeout(timer);
    if ((!paused || results.isComing) && !over) timer = setTimeout(() => (document.hidden ? next() : search(true)), TAIL_MS);
  }

  form.addEventListener("input", (event) => {
    context.renew(asked(form));
    clearTimeout(timer);
    asking?.abort();
    timer = setTimeout(search, event.target.matches("select") ? 0 : TYPING_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  tail.addEventListener("click", () => {
    paused = !paused;
    tail.setAttribute("aria-pressed", String(paused));
    say(total, total.textContent.replace(/live$|paused$/, paused ? "paused" : "live"));
    if (paused) next(); // what is still coming in settles
    else search();
  });
  await search();
  return () => {
    over = true;
    asking?.abort();
    clearTimeout(timer);
  };
}

export function render(root, context) {
  return context.route === "trace" ? showTrace(root, context) : list(root, context);
}
