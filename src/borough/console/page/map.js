// Who talks to whom: services as teams own them, what is declared and what is seen, with live numbers.

import { byService, ServiceBadge } from "./badges.js";
import { DownList, downOf, endOf } from "./down.js";
import { QUANTILES, colourOf, count, draw, duration, empty, listed, make, percent, plural, rate, say, serviceLink, table } from "./elements.js";
import { FirstCall } from "./first_call.js";
import { Picture } from "./picture.js";
import { huesOf, onCall } from "./teams.js";

export const title = "Map";
export const path = "map";

const SHORT_LIST = 16;
const AGAIN_MS = 5000;
const COLUMNS = [{ title: "From" }, { title: "How" }, { title: "To" }, { title: "What" }, { title: "Seen" },
  { title: "Rate", number: true }, { title: "Failed", number: true }, { title: "p50", number: true }, { title: "p99", number: true }];

const shortName = (wireName) => wireName.slice(wireName.lastIndexOf(".") + 1);

function sample(kind, look) {
  const head = kind === "call" ? "M30 1l9 4-9 4z" : "M30 5l4.5-4 4.5 4-4.5 4z";
  return draw("svg", { viewBox: "0 0 40 10", "aria-hidden": "true" }, draw("g", { class: `line ${kind} ${look}` },
    draw("path", { class: "way", d: "M1 5h29" }), draw("path", { class: "head", d: head })));
}

function legend() {
  const entry = (kind, look, text) => make("span", {}, sample(kind, look), text);
  return make("p", { class: "legend" },
    entry("call", "", "asks (a call)"), entry("event", "", "tells (an event)"),
    entry("call", "elsewhere", "asks a service elsewhere"),
    entry("call", "unseen", "declared, not seen yet"), entry("call", "undeclared", "seen, not declared"),
    entry("call", "failing", "failing"), make("span", {}, make("span", { class: "ill", "aria-hidden": "true" }), "in trouble"),
    make("span", {}, make("span", { class: "few", "aria-hidden": "true" }), "a little fails, or may soon"),
    make("span", {}, make("span", { class: "dead", "aria-hidden": "true" }), "down"),
    make("span", {}, make("span", { class: "beyond", "aria-hidden": "true" }), "a host outside"),
    make("span", {}, make("span", { class: "badge", "aria-hidden": "true" }, "!"), "an alert fires"),
    make("span", { class: "words" }, "7/s · 9 ms: a second, over the last 10 s; 99 % took less, over the last minute"));
}

function tools(picture, names, choose) {
  const find = make("input", { type: "search", id: "find", list: "names", placeholder: "Find a service", "aria-label": "Find a service", autocomplete: "off", spellcheck: "false" });
  find.addEventListener("input", () => {
    picture.find(find.value);
    if (names.includes(find.value)) choose(find.value);
  });
  find.addEventListener("keydown", (event) => {
    const first = event.key === "Enter" ? picture.find(find.value) : null;
    if (first) choose(first);
  });
  const grouping = make("fieldset", { id: "grouping", class: "switch" }, make("legend", { class: "hidden" }, "Group the services by"),
    ["team", "domain"].map((by) => {
      const input = make("input", { type: "radio", name: "grouping", value: by });
      input.checked = by === "team";
      return make("label", {}, input, make("span", {}, by === "team" ? "by team" : "by business area"));
    }));
  grouping.addEventListener("change", (event) => picture.group(event.target.value));
  const button = (text, label, act) => {
    const found = make("button", { type: "button", class: "quiet", "aria-label": label, title: label }, text);
    found.addEventListener("click", act);
    return found;
  };
  return make("div", { class: "bar" }, find, make("datalist", { id: "names" }, names.map((name) => make("option", { value: name }))),
    grouping, make("div", { class: "zoom" },
      button("−", "Smaller (-)", () => picture.zoomBy(-1)), button("+", "Larger (+)", () => picture.zoomBy(1)),
      button("Fit", "Show it whole", () => picture.fit())));
}

// What is known of the chosen service, and where to go from there.
function aside(name, facts, picture, badge, state, clear) {
  const service = picture.facts.services.find((each) => each.name === name);
  const team = facts.teams.find((each) => each.name === service.team);
  const only = make("button", { type: "button", class: "quiet", id: "only", "aria-pressed": String(picture.only === name) }, "Only its neighbours");
  only.addEventListener("click", () => {
    const now = only.getAttribute("aria-pressed") !== "true";
    only.setAttribute("aria-pressed", String(now));
    picture.narrow(now ? name : null);
  });
  const all = make("button", { type: "button", class: "quiet", id: "all" }, "Clear");
  all.addEventListener("click", clear);
  return [
    make("h2", {}, name, " ", badge.element), state,
    make("p", {}, service.capability ?? service.contracts[0]?.doc ?? "Nobody has said yet what it does."),
    service.runs === "outside" ? null : make("p", { class: "soft" }, service.team ? `team ${service.team}, on call: ${onCall(team)}` : "no team yet"),
    make("p", { class: "acts" }, service.runs === "outside" ? null : make("a", { href: `#/services/${encodeURIComponent(name)}` }, "Open the service"),
      make("a", { href: `#/traces?service=${encodeURIComponent(name)}` }, "Its traces"), only, all),
  ].filter(Boolean);
}

// The services, and the hosts that are none and are asked.
function withOutside(facts, edges) {
  const hosts = new Set([...edges.values()].filter((each) => each.kind === "outside").map((each) => each.callee));
  const boxes = [...hosts].map((name) => ({ name, runs: "outside", team: null, domain: null, capability: "A host outside the system", contracts: [] }));
  return { ...facts, services: [...facts.services, ...boxes] };
}

class Rows {
  constructor(edges, facts) {
    this.cells = new Map();
    this.what = new Map();
    for (const each of facts.calls) this.what.set(`call ${each.caller} ${each.provider}`, each.contracts.map(shortName));
    for (const each of facts.hearings) this.what.set(`event ${each.publisher} ${each.subscriber}`, each.events.map(shortName));
    const rows = [...edges].map(([key, edge]) => {
      const cells = Array.from({ length: 6 }, () => make("span"));
      this.cells.set(key, cells);
      return [serviceLink(edge.caller), `${edge.kind === "event" ? "tells" : "asks"}${edge.elsewhere ? " elsewhere" : ""}`, edge.kind === "outside" ? edge.callee : serviceLink(edge.callee), ...cells];
    });
    this.table = table("Who talks to whom", COLUMNS, rows, { id: "relations" });
    [...this.cells.keys()].forEach((key, index) => { this.table.querySelectorAll("tbody tr")[index].dataset.edge = key; });
    for (const [key, edge] of edges) this.show(key, edge);
  }

  show(key, { kind, declared, observed, operations, lately, faring }) {
    const isOutside = kind === "outside";
    const cells = this.cells.get(key);
    if (!cells) return;
    const share = lately.per_s > 0 ? lately.faults_per_s / lately.per_s : null;
    const texts = [isOutside ? "requests" : listed(this.what.get(key) ?? operations.map(shortName)),
      isOutside ? "outside" : !declared ? "NOT DECLARED" : observed ? "yes" : "not yet", observed ? rate(lately.per_s) : "–",
      percent(share), duration(lately.p50_ms), duration(lately.p99_ms)];
    texts.forEach((text, index) => say(cells[index], text));
    cells[1].className = declared || isOutside ? "" : "bad";
    cells[3].className = share > 0 ? colourOf(faring) : "";
  }

  choose(name) {
    for (const row of this.table.querySelectorAll("tbody tr")) {
      const [, caller, callee] = row.dataset.edge.split(" ");
      row.hidden = name !== null && caller !== name && callee !== name;
    }
  }
}

function summary(facts, edges, services) {
  const sum = (found, of) => found.reduce((all, each) => all + (each[of] ?? 0), 0);
  const [all, tells] = [[...services.values()], [...edges.values()].filter((each) => each.kind === "event")];
  const calls = all.map((each) => each.lately);
  const strange = [...edges.values()].filter((each) => !each.declared && each.kind !== "outside").length;
  return [`${plural(facts.services.length, "service")} of ${plural(facts.teams.length, "team")}`,
    `calls ${rate(sum(calls, "per_s"))}`, `events ${rate(sum(tells.map((each) => each.lately), "per_s"))}`,
    `failed ${rate(sum([...calls, ...all.map((each) => each.events)], "faults_per_s"))}`,
    "in the last 10 s", strange ? `${count(strange)} not declared` : null].filter(Boolean).join(" · ");
}

export async function render(root, context) {
  const [facts, { edges: found }] = await Promise.all([context.facts(), context.api.get("map")]);
  if (!facts.services.length) {
    root.append(make("h1", {}, title), empty("No service yet", "borough run starts the services below a folder; each has a NAME/service.py."));
    return null;
  }
  const keyOf = (each) => `${each.kind} ${each.caller} ${each.callee}`;
  let edges = new Map(found.map((each) => [keyOf(each), each]));
  const detail = make("section", { class: "chosen", "aria-live": "polite", hidden: "" });
  const picture = new Picture(withOutside(facts, edges), edges, huesOf(facts), choose);
  let rows = new Rows(edges, facts);
  const list = make("details", { id: "list" }, make("summary", {}, make("h2", {}, "The same as a table")),
    make("p", { class: "soft" }, `Rate and failed: the last 10 seconds. ${QUANTILES}`), rows.table);
  list.open = edges.size <= SHORT_LIST;
  const total = make("p", { class: "soft", id: "summary" }, summary(facts, edges, new Map()));

  const first = new FirstCall(facts, "No call yet since the start",
    "With the first ones lines become solid, and boxes say how many calls come and how long they take.");
  if (!found.some((each) => each.observed)) await first.look(context);
  const down = new DownList(facts);
  let services = new Map();
  const state = make("p", { class: "bad" }); // of the chosen service, where it is down
  function showState(name) {
    const found = services.get(name);
    const now = downOf(picture.facts.services.find((each) => each.name === name), found);
    say(state, now?.isDown ? [now.text, ...found.replicas.map(endOf)].filter(Boolean).join(" · ") : "");
  }
  let badge = null;
  function choose(name) {
    const now = name === picture.selected && detail.dataset.name === name ? null : name;
    detail.hidden = now === null;
    detail.dataset.name = now ?? "";
    if (now !== null) {
      badge = new ServiceBadge(now);
      badge.show(picture.alerts.get(now));
      detail.replaceChildren(...aside(now, facts, picture, badge, state, () => choose(null)));
      showState(now);
    }
    if (picture.only !== null && picture.only !== now) picture.narrow(null);
    picture.select(now);
    rows.choose(now);
    context.renew(now === null ? {} : { service: now });
  }

  const names = facts.services.map((each) => each.name);
  root.append(make("div", { class: "heading" }, make("h1", {}, title), total), tools(picture, names, choose), legend(), down.element, first.element, detail, picture.place, list);
  picture.draw();
  const asked = context.query.get("service");
  if (names.includes(asked)) choose(asked);

  function showEdges(values, keys) {
    const isNew = values.size !== edges.size || keys.some((key) => !edges.has(key));
    edges = values;
    picture.edges = edges;
    if (isNew) { // somebody talks to somebody new
      picture.facts = withOutside(facts, edges);
      picture.redraw();
      const before = rows.table;
      rows = new Rows(edges, facts);
      before.replaceWith(rows.table);
      rows.choose(picture.selected);
    } else {
      for (const key of keys) {
        picture.showEdge(key);
        rows.show(key, edges.get(key));
      }
    }
  }
  context.follow(["edges", "services", "alerts"], (topic, values, keys) => {
    if (topic === "alerts") {
      picture.showAlerts(byService(values));
      badge?.show(picture.alerts.get(badge.name));
    } else if (topic === "edges") showEdges(new Map(values), keys);
    else {
      picture.showServices(services = values, keys);
      down.show(services);
      if (!first.element.hidden) first.judge([...services.values()]);
      if (detail.dataset.name) showState(detail.dataset.name);
    }
    say(total, summary(facts, edges, services));
  });
  const again = setInterval(() => down.show(services), AGAIN_MS); // what is over is told for a while
  return () => {
    clearInterval(again);
    picture.close();
  };
}
