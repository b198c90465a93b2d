// The picture of who talks to whom: services as boxes in their teams' panels, lines for calls and events.
//
// A solid line has been seen, a dashed one is only declared, a warning one is seen and not declared.
// Looking at a service (mouse or keyboard) leaves only its own lines in full colour; choosing it keeps that.

import { saysOf } from "./badges.js";
import { downOf } from "./down.js";
import { draw, duration, make, percent, rate, say } from "./elements.js";
import { layOut } from "./layout.js";

const RUNS = { mock: "a mock answers", elsewhere: "runs elsewhere", outside: "outside the system" };
const OUTSIDE = " outside"; // no team has such a name
const ELSEWHERE = " elsewhere";
const MARGIN = 12;
const FEW = 14; // so many lines can have their numbers beside them all the time
const ZOOMS = [0.4, 0.55, 0.75, 1, 1.3, 1.7, 2.2];

const measure = document.createElement("canvas").getContext("2d");
const widths = new Map();

// The text, or as much of it as fits. Measuring is slow, and names come again.
function fitting(text, width, size) {
  const key = `${size} ${Math.floor(width)} ${text}`;
  if (!widths.has(key)) {
    measure.font = `600 ${size}px system-ui, sans-serif`;
    const wide = (part) => measure.measureText(part).width > width;
    let end = text.length;
    while (end > 1 && wide(end < text.length ? text.slice(0, end) + "…" : text)) end--;
    widths.set(key, end < text.length ? text.slice(0, end) + "…" : text);
  }
  return widths.get(key);
}

function panel({ x, y, width, height, title, hue }) {
  return draw("g", { class: `group hue-${hue}` },
    draw("rect", { x, y, width, height, rx: 14 }),
    draw("text", { x: x + 14, y: y + 24 }, fitting(title, width - 24, 13)));
}

function line({ from, to, kind, d, tip }) {
  const back = tip.x - 8 * tip.side;
  const head = kind !== "event"
    ? `M${tip.x} ${tip.y}L${back} ${tip.y - 4.5}V${tip.y + 4.5}Z`
    : `M${tip.x} ${tip.y}L${(tip.x + back) / 2} ${tip.y - 4.5}L${back} ${tip.y}L${(tip.x + back) / 2} ${tip.y + 4.5}Z`;
  return draw("g", { class: `line ${kind}`, "data-from": from, "data-to": to, "data-edge": `${kind} ${from} ${to}` },
    draw("path", { class: "way", d }),
    draw("path", { class: "head", d: head }));
}

// What a line's numbers are written beside: its tip. They stand above all lines, lest one strikes them out.
function label({ from, to, kind, tip }) {
  return draw("text", { class: `label ${kind}`, "data-from": from, "data-to": to, "data-edge": `${kind} ${from} ${to}`,
    x: tip.x - 13 * tip.side, y: tip.y - 6, "text-anchor": tip.side > 0 ? "end" : "start" });
}

// How a service fares: what it fails at, and what its alerts say, which also know of what is late and what is dead.
function faringOf(found, state) {
  if (state === "firing") return "failing";
  const faring = found?.faring ?? "quiet";
  return state && faring !== "failing" ? "ailing" : faring;
}

// What a box says of what happens: of calls, or of events where only they fail or nobody calls.
function figures({ lately: calls, events, calls: called, handled }) {
  const found = [calls, events].find((each) => each.faults_per_s > 0) ?? [calls, events].find((each) => each.per_s > 0);
  if (!found) return called || handled ? "quiet now" : "not called yet";
  const failed = found.faults_per_s > 0 ? ` · ${percent(found.faults_per_s / found.per_s)} failed` : "";
  if (found === events) return `events ${rate(events.per_s)}${failed || ` · ${duration(events.p99_ms)}`}`; // both are too long
  return `${rate(calls.per_s)} · ${duration(calls.p99_ms)}${failed}`;
}

function spoken(service, state, down, faring) {
  const alert = state ? `; ${saysOf(state)}` : "";
  const fails = down ? "" : { failing: ", in trouble", ailing: ", a little fails" }[faring] ?? "";
  return `${service.name}${down?.isDown ? `, ${down.text}` : ""}${fails}: ${service.capability ?? service.contracts[0]?.doc ?? "no description"}${alert}`;
}

function box({ x, y, width, height, service, hue }) {
  return draw("g", { class: `box hue-${hue} ${service.runs}`, role: "button", tabindex: 0, "aria-pressed": "false",
    "data-service": service.name, "aria-label": spoken(service) },
    draw("rect", { x, y, width, height, rx: service.runs === "outside" ? height / 2 : 9 }),
    draw("rect", { class: "mark", x, y: y + 10, width: 4, height: height - 20, rx: 2 }),
    draw("text", { class: "name", x: x + 14, y: y + 22 }, fitting(service.name, width - 30, 14.5)),
    draw("circle", { class: "lamp", cx: x + width - 12, cy: y + 16, r: 4.5 }),
    draw("text", { class: "live", x: x + 14, y: y + 40 }, RUNS[service.runs] ?? ""),
    draw("g", { class: "alert" }, draw("circle", { cx: x + width - 2, cy: y, r: 9 }), draw("text", { x: x + width - 2, y: y + 4.5 }, "!")));
}

const wide = (perSecond) => 1.3 + Math.min(3.2, Math.log10(1 + (perSecond ?? 0)) * 1.1);

export class Picture {
  // `facts` are the system's; `hues` maps teams to colours; `chosen(name)` is told who was chosen.
  constructor(facts, edges, hues, chosen) {
    this.place = make("div", { id: "map", class: "panel scroll", tabindex: 0, role: "region", "aria-label": "Map; the table below says the same" });
    this.facts = facts;
    this.edges = edges;
    this.hues = hues;
    this.chosen = chosen;
    this.grouping = "team";
    this.zoom = ZOOMS.indexOf(1);
    this.only = null;
    this.selected = null;
    this.width = 0;
    this.alerts = new Map();
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.place);
    const of = (event) => event.target.closest?.("[data-service]")?.dataset.service ?? null;
    for (const [begin, end] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
      this.place.addEventListener(begin, (event) => this.look(of(event)));
      this.place.addEventListener(end, () => this.look(document.activeElement?.dataset?.service ?? null));
    }
    this.place.addEventListener("click", (event) => of(event) && this.chosen(of(event)));
    this.place.addEventListener("keydown", (event) => this.pressed(event, of(event)));
  }

  pressed(event, name) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (name && (event.key === "Enter" || event.key === " ")) this.chosen(name);
    else if (event.key === "+" || event.key === "=") this.zoomBy(1);
    else if (event.key === "-") this.zoomBy(-1);
    else if (event.key === "0") this.zoomTo(1);
    else return;
    event.preventDefault();
  }

  zoomBy(steps) {
    this.zoom = Math.max(0, Math.min(ZOOMS.length - 1, this.zoom + steps));
    this.scale();
  }

  zoomTo(size) {
    this.zoom = Math.max(0, ZOOMS.findLastIndex((each) => each <= size));
    this.scale();
  }

  // As large as it can be and still be seen whole.
  fit() {
    this.zoomTo(Math.min(1, (innerHeight * 0.8) / this.height));
  }

  scale() {
    const svg = this.place.firstElementChild;
    if (!svg) return;
    svg.setAttribute("width", this.width * ZOOMS[this.zoom]);
    svg.setAttribute("height", this.height * ZOOMS[this.zoom]);
  }

  group(by) {
    this.grouping = by;
    this.redraw();
  }

  // Only this service and those that it has to do with; null for all.
  narrow(name) {
    this.only = name;
    this.redraw();
  }

  redraw() {
    this.width = 0;
    this.draw();
  }

  shown() {
    if (this.only === null) return this.facts.services;
    const near = new Set([this.only]);
    for (const { caller, callee } of this.edges.values()) {
      if (caller === this.only) near.add(callee);
      if (callee === this.only) near.add(caller);
    }
    return this.facts.services.filter((each) => near.has(each.name));
  }

  groups(services) {
    const found = new Map();
    for (const service of services) {
      const nobodys = service.runs === "elsewhere" ? ELSEWHERE : "";
      const name = service.runs === "outside" ? OUTSIDE : service[this.grouping] ?? nobodys;
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(service.name);
    }
    const nobody = this.grouping === "team" ? "no team yet" : "no area yet";
    return [...found].map(([name, names]) => ({ name, title: [OUTSIDE, ELSEWHERE].includes(name) ? name.trim() : name || nobody, services: names }));
  }

  draw() {
    const width = Math.floor(this.place.clientWidth) - 2;
    if (width === this.width || width < 1) return;
    const focused = document.activeElement?.dataset?.service;
    this.width = width;
    const services = new Map(this.shown().map((service) => [service.name, service]));
    const edges = [...this.edges.values()]
      .filter(({ caller, callee }) => this.only === null || caller === this.only || callee === this.only)
      .map(({ kind, caller, callee }) => ({ kind, from: caller, to: callee }));
    const picture = layOut(this.groups(services.values()), edges, width - 2 * MARGIN);
    this.height = picture.height;
    const hue = (name) => this.hues.get(services.get(name).team) ?? 0;
    const own = (group) => (this.grouping === "team" ? this.hues.get(group.name || null) ?? 0 : "none");
    const svg = draw("svg", { viewBox: `${-MARGIN} 0 ${width} ${picture.height}`, role: "group", "aria-label": "Services and who talks to whom",
      class: picture.lines.length <= FEW && width > 900 ? "few" : "" },
      picture.panels.map((each) => panel({ ...each, hue: own(each) })),
      draw("g", { "aria-hidden": "true" }, picture.lines.map(line)),
      picture.boxes.map((each) => box({ ...each, service: services.get(each.name), hue: hue(each.name) })),
      draw("g", { "aria-hidden": "true" }, picture.lines.map(label)));
    this.boxes = new Map([...svg.querySelectorAll(".box")].map((each) => [each.dataset.service, each]));
    this.lines = new Map([...svg.querySelectorAll(".line")].map((each) => [each.dataset.edge, each]));
    this.labels = new Map([...svg.querySelectorAll(".label")].map((each) => [each.dataset.edge, each]));
    this.place.replaceChildren(svg);
    this.scale();
    for (const key of this.edges.keys()) this.showEdge(key);
    if (this.values) this.showServices(this.values, this.values.keys());
    this.showAlerts(this.alerts);
    const looked = this.looked ?? null;
    this.looked = undefined;
    this.look(looked);
    this.select(this.selected);
    if (focused) this.boxes.get(focused)?.focus();
  }

  select(name) {
    this.selected = name;
    for (const [each, element] of this.boxes ?? []) element.setAttribute("aria-pressed", String(each === name));
    this.look(name);
  }

  find(text) {
    const words = text.trim().toLowerCase();
    for (const [name, element] of this.boxes) {
      element.classList.toggle("found", Boolean(words) && name.toLowerCase().includes(words));
    }
    const first = words && [...this.boxes.keys()].sort().find((name) => name.toLowerCase().includes(words));
    this.place.firstElementChild.classList.toggle("finding", Boolean(words));
    if (first) this.boxes.get(first).scrollIntoView({ block: "nearest", inline: "nearest" });
    return first || null;
  }

  // Leave only what has to do with a service in full colour; with everything again where there is none.
  look(name) {
    name ??= this.selected;
    const svg = this.place.firstElementChild;
    if (!svg || this.looked === name) return;
    this.looked = name;
    const near = new Set([name]);
    svg.classList.toggle("looking", Boolean(name));
    for (const each of this.lines.values()) {
      const { from, to } = each.dataset;
      const own = from === name || to === name;
      each.classList.toggle("lit", own);
      this.labels.get(each.dataset.edge).classList.toggle("lit", own);
      if (own) near.add(from).add(to);
    }
    for (const [each, element] of this.boxes) element.classList.toggle("lit", near.has(each));
  }

  showEdge(key) {
    const element = this.lines?.get(key);
    const edge = this.edges.get(key);
    if (!element || !edge) return;
    const { kind, elsewhere, declared, observed, lately, faring } = edge;
    element.classList.toggle("elsewhere", elsewhere);
    element.classList.toggle("unseen", !observed);
    element.classList.toggle("undeclared", !declared && kind !== "outside");
    element.classList.toggle("failing", faring === "failing");
    element.firstElementChild.style.strokeWidth = wide(lately.per_s);
    const isFailing = lately.faults_per_s > 0;
    const failed = isFailing && this.width > 700 ? ` · ${percent(lately.faults_per_s / lately.per_s)} failed` : "";
    const text = this.labels.get(key);
    text.classList.toggle("failing", faring === "failing");
    const took = failed && kind !== "outside" && !elsewhere ? "" : ` · ${duration(lately.p99_ms)}`; // both are too long between two columns; a service's box has it
    say(text, lately.per_s > 0 ? `${rate(lately.per_s)}${took}${failed}` : "");
  }

  showServices(values, names) {
    this.values = values;
    for (const name of names) {
      const element = this.boxes?.get(name);
      const found = values.get(name);
      if (!element || !found) continue;
      const service = this.facts.services.find((each) => each.name === name);
      const text = RUNS[service?.runs] ?? (service && downOf(service, found)?.text) ?? figures(found);
      say(element.querySelector(".live"), fitting(text, element.querySelector("rect").width.baseVal.value - 18, 12));
      this.colour(name, element);
    }
  }

  // `states` has the state of the worst alert of each service that has one; what may yet pass has no mark.
  showAlerts(states) {
    this.alerts = states;
    for (const [name, element] of this.boxes ?? []) {
      const state = this.shownState(name);
      if (state) element.dataset.alert = state;
      else delete element.dataset.alert;
      this.colour(name, element);
    }
  }

  colour(name, element) {
    const service = this.facts.services.find((each) => each.name === name);
    if (!service) return;
    const found = this.values?.get(name);
    const down = downOf(service, found);
    const faring = faringOf(found, this.alerts.get(name));
    const text = element.querySelector(".live");
    text.classList.toggle("bad", Boolean(down?.isDown) || faring === "failing");
    text.classList.toggle("open", !down && faring === "ailing");
    element.classList.toggle("down", Boolean(down?.isDown));
    element.querySelector(".lamp").dataset.state = down ? (down.isDown ? "lost" : "quiet") : faring;
    const words = spoken(service, this.shownState(name), down, faring);
    if (element.getAttribute("aria-label") !== words) element.setAttribute("aria-label", words);
  }

  shownState(name) {
    const state = this.alerts.get(name);
    return state === "pending" ? undefined : state;
  }

  close() {
    this.resizing.disconnect();
  }
}
