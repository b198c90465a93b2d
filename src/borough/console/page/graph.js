// The picture of who talks to whom: services as boxes, solid lines for calls, dashed ones for events.
// Looking at a service (mouse or keyboard) leaves only its own lines in full colour.

import { brief, draw, say } from "./elements.js";
import { layOut } from "./layout.js";

const RUNS = { mock: "a mock answers", elsewhere: "runs elsewhere" };

const measure = document.createElement("canvas").getContext("2d");

// The text, or as much of it as fits.
function fitting(text, width, size) {
  measure.font = `600 ${size}px ${getComputedStyle(document.body).fontFamily}`;
  const wide = (part) => measure.measureText(part).width > width;
  if (!wide(text)) return text;
  let end = text.length - 1;
  while (end > 1 && wide(text.slice(0, end) + "…")) end--;
  return text.slice(0, end) + "…";
}

function panel({ x, y, width, height, title, hue }) {
  return draw("g", { class: `group hue-${hue}` },
    draw("rect", { x, y, width, height, rx: 14 }),
    draw("text", { x: x + 14, y: y + 24 }, fitting(title, width - 24, 13)));
}

function line({ from, to, kind, d, tip }) {
  const back = tip.x - 8 * tip.side;
  return draw("g", { class: `line ${kind}`, "data-from": from, "data-to": to },
    draw("path", { d }),
    draw("path", { class: "head", d: `M${tip.x} ${tip.y}L${back} ${tip.y - 4.5}V${tip.y + 4.5}Z` }));
}

function box({ x, y, width, height, service, hue }) {
  const label = `${service.name}: ${service.capability ?? service.contracts[0]?.doc ?? "no description"}`;
  return draw("a", { href: `#service-${service.name}`, class: `box hue-${hue} ${service.runs}`,
    "data-service": service.name, "aria-label": label },
    draw("title", {}, label),
    draw("rect", { x, y, width, height, rx: 9 }),
    draw("rect", { class: "mark", x, y: y + 10, width: 4, height: height - 20, rx: 2 }),
    draw("text", { class: "name", x: x + 14, y: y + 22 }, fitting(service.name, width - 20, 14.5)),
    draw("text", { class: "live", x: x + 14, y: y + 40 }, RUNS[service.runs] ?? ""));
}

export class Graph {
  // `place` is an element of its own; `facts` are those of facts.json; `hues` maps teams to colours.
  constructor(place, facts, hues) {
    this.place = place;
    this.facts = facts;
    this.hues = hues;
    this.grouping = "team";
    this.edges = [
      ...facts.calls.map(({ caller, provider }) => ({ from: caller, to: provider, kind: "call" })),
      ...facts.hearings.map(({ publisher, subscriber }) => ({ from: publisher, to: subscriber, kind: "event" })),
    ];
    this.width = 0;
    this.texts = new Map();
    new ResizeObserver(() => this.draw()).observe(place);
    for (const [begin, end] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
      place.addEventListener(begin, (event) => this.look(event.target.closest("[data-service]")?.dataset.service));
      place.addEventListener(end, () => this.look(document.activeElement?.dataset?.service));
    }
  }

  group(by) {
    this.grouping = by;
    this.width = 0;
    this.draw();
  }

  groups() {
    const found = new Map();
    for (const service of this.facts.services) {
      const name = service[this.grouping] ?? "";
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(service.name);
    }
    const nobody = this.grouping === "team" ? "no team yet" : "no area yet";
    return [...found].map(([name, services]) => ({ name, title: name || nobody, services }));
  }

  draw() {
    const width = Math.floor(this.place.clientWidth);
    if (width === this.width || width < 1) return;
    const focused = document.activeElement?.dataset?.service;
    this.width = width;
    const services = new Map(this.facts.services.map((service) => [service.name, service]));
    const picture = layOut(this.groups(), this.edges, width);
    const hue = (name) => this.hues.get(services.get(name).team) ?? 0;
    const own = (group) => (this.grouping === "team" ? this.hues.get(group.name || null) ?? 0 : "none");
    const svg = draw("svg", { viewBox: `0 0 ${width} ${picture.height}`, width, height: picture.height,
      role: "group", "aria-label": "Services and who talks to whom; the list below says the same" },
      picture.panels.map((each) => panel({ ...each, hue: own(each) })),
      draw("g", { "aria-hidden": "true" }, picture.lines.map(line)),
      picture.boxes.map((each) => box({ ...each, service: services.get(each.name), hue: hue(each.name) })));
    this.texts.clear();
    for (const link of svg.querySelectorAll("a")) this.texts.set(link.dataset.service, link.querySelector(".live"));
    this.place.replaceChildren(svg);
    if (this.counts) this.show(this.counts);
    if (focused) svg.querySelector(`[data-service="${CSS.escape(focused)}"]`)?.focus();
  }

  // Leave only what has to do with a service in full colour; with everything again where there is none.
  look(name) {
    const svg = this.place.firstElementChild;
    if (!svg || this.looked === name) return;
    this.looked = name;
    const near = new Set([name]);
    svg.classList.toggle("looking", Boolean(name));
    for (const each of svg.querySelectorAll(".line")) {
      const { from, to } = each.dataset;
      const own = from === name || to === name;
      each.classList.toggle("lit", own);
      if (own) near.add(from).add(to);
    }
    for (const each of svg.querySelectorAll(".box")) each.classList.toggle("lit", near.has(each.dataset.service));
    for (const each of document.querySelectorAll("#relations li")) {
      each.classList.toggle("lit", Boolean(name) && (each.dataset.from === name || each.dataset.to === name));
    }
  }

  show(counts) {
    this.counts = counts;
    for (const [name, text] of this.texts) {
      const found = counts[name];
      if (!found) continue;
      const failed = found.failures ? `, ${brief(found.failures)} failed` : "";
      say(text, `${brief(found.calls)} ${found.calls === 1 ? "call" : "calls"}${failed}`);
      text.classList.toggle("bad", found.failures > 0);
    }
  }
}
