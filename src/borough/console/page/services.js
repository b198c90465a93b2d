// What each service does: all of them in a table, one of them with everything that is known of it.

import { byService, ServiceBadge } from "./badges.js";
import { downOf, Ends } from "./down.js";
import { QUANTILES, bytes, colourOf, count, duration, empty, listed, make, percent, plural, prose, rate, say, serviceLink, serviceLinks, table } from "./elements.js";
import { openAlerts } from "./open_alerts.js";
import { operationsOf } from "./operations.js";
import { Plot } from "./plots.js";
import { Rooms } from "./rooms.js";
import { huesOf, localTime, onCall } from "./teams.js";

export const title = "Services";
export const path = "services";

const RUNS = { mock: "answered by a mock here", elsewhere: "runs elsewhere" };
const PLOTS_EACH_MS = 5000;
const ALERTS_MS = 500; // a page does not wait longer for them
const COLUMNS = [{ title: "Service" }, { title: "Team" }, { title: "What it does" }, { title: "Runs" }, { title: "Calls", number: true },
  { title: "Failed", number: true }, { title: "p99", number: true }, { title: "Events in", number: true },
  { title: "CPU", number: true }, { title: "Memory", number: true }];
const COUNTS = [["calls", "Calls"], ["failures", "Failed"], ["in_flight", "In flight"], ["published", "Events out"],
  ["handled", "Events in"], ["waiting", "In the outbox"], ["retries", "Retries"], ["duplicates", "Repeats, done once"]];
const MOST_WAITING = 1000;

const says = (service) => service.capability ?? service.contracts[0]?.doc.split("\n\n")[0] ?? "";
const shareOf = (lately) => (lately.per_s > 0 ? lately.faults_per_s / lately.per_s : lately.per_s === null ? null : 0);

// "2 x 1.4.0", or "1.4.0 and 1.5.0" while a new version comes.
function running(found, service) {
  if (RUNS[service.runs]) return RUNS[service.runs];
  if (!found?.processes.length) return downOf(service, found)?.text ?? "nowhere";
  const versions = new Map();
  for (const { version } of found.processes) versions.set(version, (versions.get(version) ?? 0) + 1);
  return listed([...versions].map(([version, number]) => (number > 1 ? `${number} × ${version}` : version)));
}

function used(name, found, processes) {
  const own = (found?.processes ?? []).map(({ pid }) => processes.get(String(pid))).filter(Boolean);
  if (!own.length) return { cpu: null, memory: null, shared: false };
  return { // of all its processes together
    cpu: own.some((each) => each.cpu === null) ? null : own.reduce((sum, each) => sum + each.cpu, 0),
    memory: own.reduce((sum, each) => sum + each.memory_bytes, 0),
    shared: own.some((each) => each.services.length > 1),
  };
}

async function renderList(root, context) {
  const facts = await context.facts();
  root.append(make("div", { class: "heading" }, make("h1", {}, title),
    make("p", { class: "soft" }, `${plural(facts.services.length, "service")} of ${plural(facts.teams.length, "team")}`)));
  if (!facts.services.length) {
    root.append(empty("No service yet", "borough run starts the services below a folder; each has a NAME/service.py."));
    return null;
  }
  const hues = huesOf(facts);
  const find = make("input", { type: "search", id: "find", placeholder: "Find a service, team or capability", "aria-label": "Find a service, team or capability", autocomplete: "off" });
  const cells = new Map();
  const badges = new Map();
  const rows = facts.services.map((each) => {
    badges.set(each.name, new ServiceBadge(each.name));
    const own = Array.from({ length: 7 }, () => make("span"));
    cells.set(each.name, own);
    return [[serviceLink(each.name), " ", badges.get(each.name).element], make("span", { class: "mark" }, make("span", { class: `dot hue-${hues.get(each.team) ?? 0}` }), each.team ?? "no team yet"), prose(says(each)), ...own];
  });
  const all = table("Services", COLUMNS, rows, { id: "services" });
  const lines = [...all.querySelectorAll("tbody tr")];
  find.addEventListener("input", () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    lines.forEach((line) => {
      line.hidden = !words.every((word) => line.textContent.toLowerCase().includes(word));
      shown += !line.hidden;
    });
    context.say(`${plural(shown, "service")} found`);
  });
  const shares = make("p", { class: "soft", hidden: "" }, "Services that run in one process show what that process uses.");
  root.append(make("div", { class: "bar" }, find), all, make("p", { class: "soft", id: "windows" },
    "Calls and failed: the last 10 seconds. p99 (99 % took less): the last minute, or what came before where nothing came in it. Events in: since the start. CPU and memory: now."), shares);
  let services = new Map();
  let processes = new Map();
  context.follow(["alerts"], (_, values) => {
    const states = byService(values);
    for (const [name, badge] of badges) badge.show(states.get(name));
  });
  context.follow(["services", "processes"], (topic, values) => {
    if (topic === "services") services = values;
    else processes = values;
    for (const each of facts.services) {
      const found = services.get(each.name);
      const own = cells.get(each.name);
      const { cpu, memory, shared } = used(each.name, found, processes);
      if (shared) shares.hidden = false;
      const lately = found?.lately ?? { per_s: null, faults_per_s: null, p99_ms: null };
      [running(found, each), rate(lately.per_s), percent(shareOf(lately)), duration(lately.p99_ms),
        found ? count(found.handled) : "–", percent(cpu), bytes(memory)].forEach((text, index) => say(own[index], text));
      own[0].className = found && !found.processes.length && !RUNS[each.runs] ? "bad" : "";
      own[2].className = lately.faults_per_s > 0 ? colourOf(found.faring) : "";
      own[4].className = found?.events.faults_per_s > 0 ? colourOf(found.faring) : "";
    }
  });
  return null;
}

// Hosts that are no service, and that it has asked, are among those that it has to do with.
function near(facts, name) {
  const of = (list, mine, other) => [...new Set(list.filter((each) => each[mine] === name).map((each) => each[other]))];
  const pairs = [
    ["Asks", of(facts.calls, "caller", "provider")], ["Is asked by", of(facts.calls, "provider", "caller")],
    ["Tells", of(facts.hearings, "publisher", "subscriber")], ["Hears from", of(facts.hearings, "subscriber", "publisher")],
  ].filter(([, names]) => names.length);
  const rows = pairs.map(([label, names]) => [make("dt", {}, label), make("dd", {}, serviceLinks(names))]);
  const hosts = make("dd");
  const outside = [make("dt", {}, "Asks outside"), hosts];
  const list = make("dl", { class: "near" }, rows, outside);
  const nobody = make("p", { class: "soft" }, "It has to do with no other service.");
  const element = make("div", { id: "near" }, list, nobody);
  const show = (edges) => {
    const asked = [...edges.values()].filter(({ kind, caller }) => kind === "outside" && caller === name).map(({ callee }) => callee);
    say(hosts, listed(asked));
    for (const each of outside) each.hidden = !asked.length;
    list.hidden = !rows.length && !asked.length;
    nobody.hidden = !list.hidden;
  };
  show(new Map());
  return { element, show };
}

function owner(service, facts) {
  const team = facts.teams.find((each) => each.name === service.team);
  if (!team) return make("p", { class: "soft" }, `No team owns it yet: [services.${service.name}] team in borough.toml.`);
  const time = team.time_zone === null ? null : localTime(team.time_zone);
  const row = (label, text) => [make("dt", {}, label), make("dd", {}, text)];
  return make("dl", { class: "near" }, row("Team", team.name), row("On call", onCall(team)),
    row("People", team.size === null ? "not said" : String(team.size)),
    row("Local time", time === null ? "not said" : `${time}, ${team.time_zone.replaceAll("_", " ")}`),
    row("Releases", team.release_days.length ? listed(team.release_days) : "on no fixed day"));
}

class Processes {
  constructor() {
    this.place = make("div");
    this.ends = new Ends();
    this.element = make("div", {}, this.place, this.ends.element);
    this.shown = "";
  }

  show(service, found, processes) {
    const rows = (found?.processes ?? []).map(({ pid, version }) => {
      const use = processes.get(String(pid));
      const others = (use?.services ?? []).filter((each) => each !== service.name);
      const beside = others.length ? `with ${others.length > 2 ? plural(others.length, "other service") : listed(others)}` : "alone";
      return [String(pid), version, percent(use?.cpu), bytes(use?.memory_bytes), beside];
    });
    this.ends.show(found?.replicas ?? []);
    const down = downOf(service, found);
    const text = JSON.stringify([rows, down]);
    if (text === this.shown) return;
    this.shown = text;
    this.place.replaceChildren(rows.length
      ? table("Processes", [{ title: "Process" }, { title: "Version" }, { title: "CPU", number: true }, { title: "Memory", number: true }, { title: "Runs" }], rows)
      : make("p", { class: RUNS[service.runs] ? "soft" : "bad" }, RUNS[service.runs] ?? `No process runs it now: ${down?.text ?? "nothing is known of it"}.`));
  }
}

function plots(name, context) {
  const calls = new Plot("Calls", rate);
  const failed = new Plot("Failed", percent);
  const took = new Plot("Latency", duration);
  const heard = new Plot("Events tried", rate);
  const unheard = new Plot("Events failed", percent);
  const cpu = new Plot("CPU", percent);
  const memory = new Plot("Memory", bytes);
  const element = make("div", { class: "plots" }, [calls, failed, took, heard, unheard, cpu, memory].map((each) => each.element));
  async function show() {
    const { points } = await context.api.get(`services/${encodeURIComponent(name)}/history`);
    const times = points.map((each) => each.at);
    const of = (read) => points.map(read);
    calls.show(times, [{ values: of((each) => each.calls.per_s) }]);
    failed.show(times, [{ values: of((each) => shareOf(each.calls)), look: "bad" }]);
    took.show(times, [{ label: "p50", values: of((each) => each.calls.p50_ms) }, { label: "p99", values: of((each) => each.calls.p99_ms), look: "second" }]);
    heard.show(times, [{ values: of((each) => each.events.per_s) }]);
    unheard.show(times, [{ values: of((each) => shareOf(each.events)), look: "bad" }]);
    cpu.show(times, [{ values: of((each) => each.cpu) }]);
    memory.show(times, [{ values: of((each) => each.memory_bytes) }]);
  }
  return { element, show };
}

function counts() {
  const places = new Map(COUNTS.map(([name]) => [name, make("dd", {}, "–")]));
  const element = make("dl", { class: "numbers" }, COUNTS.map(([name, label]) => make("div", {}, make("dt", {}, label), places.get(name))));
  return { element, show(found) {
    for (const [name, place] of places) {
      const number = found[name];
      say(place, name === "waiting" && number > MOST_WAITING ? `${count(MOST_WAITING)}+` : count(number));
      place.className = name === "failures" && number > 0 ? colourOf(found.faring) : number ? "" : "none";
      place.dataset.count = name;
    }
  } };
}

async function renderOne(root, context, name) {
  const facts = await context.facts();
  const service = facts.services.find((each) => each.name === name);
  if (!service) {
    root.append(make("h1", {}, name), empty("There is no such service", "It may have another name now.", make("p", {}, make("a", { href: "#/services" }, "All services"))));
    return null;
  }
  const hue = huesOf(facts).get(service.team) ?? 0;
  const about = [service.domain, service.has_database ? "own database" : null, RUNS[service.runs]].filter(Boolean).join(" · ");
  const state = make("p", { class: "bad", id: "state" });
  const processes = new Processes();
  const drawn = plots(name, context);
  const numbers = counts();
  const badge = new ServiceBadge(name);
  const [rooms, beside, wrong] = [new Rooms(), near(facts, name), openAlerts(name, context)];
  const operations = operationsOf(service);
  const quietly = (act) => act().catch(() => {}); // the frame says that nothing answers
  await Promise.race([quietly(wrong.refresh), new Promise((go) => setTimeout(go, ALERTS_MS))]); // what came later would push the rest down
  root.append(
    make("p", {}, make("a", { href: "#/services" }, "All services")),
    make("h1", {}, name, " ", badge.element), make("p", {}, prose(says(service) || "Nobody has said yet what it does.")), make("p", { class: "soft" }, about), state, wrong.element,
    make("p", { class: "acts" }, make("a", { href: `#/map?service=${encodeURIComponent(name)}` }, "On the map"),
      make("a", { href: `#/traces?service=${encodeURIComponent(name)}` }, "Its traces"), make("a", { href: `#/events?service=${encodeURIComponent(name)}` }, "Its events")),
    drawn.element, make("p", { class: "soft", id: "windows" }, "Each point of a plot stands for 15 seconds; beside the name is the latest. p50: half took less; p99: 99 % took less."),
    make("div", { class: "cards" },
      make("section", { class: `card hue-${hue}` }, make("h2", {}, "Who owns it"), owner(service, facts)),
      make("section", { class: "card" }, make("h2", {}, "Who it has to do with"), beside.element),
      make("section", { class: "card" }, make("h2", {}, "What runs"), processes.element),
      make("section", { class: "card" }, make("h2", {}, "What room it has"), rooms.element),
      make("section", { class: "card" }, make("h2", {}, "Since the start"), numbers.element,
        make("p", { class: "soft words" }, make("dfn", {}, "In the outbox"), ": events that are committed now, and that the broker has not taken yet."))),
    make("section", {}, make("h2", {}, "What it promises"),
      make("p", { class: "soft" }, `Beside an operation: calls since the start; rate and failed of the last 10 seconds. ${QUANTILES}`), operations.element));
  let found = null;
  let uses = new Map();
  context.follow(["alerts"], (_, values) => {
    badge.show(byService(values).get(name));
    quietly(wrong.refresh);
  });
  context.follow(["services", "processes", "operations", "edges"], (topic, values, keys) => {
    if (topic === "edges") return beside.show(values);
    if (topic === "operations") return operations.show(values, keys);
    if (topic === "services") found = values.get(name);
    else uses = values;
    if (found) {
      numbers.show(found);
      rooms.show(found.rooms, found.full);
    }
    const down = downOf(service, found);
    say(state, down?.isDown ? `${name}: ${down.text}` : "");
    processes.show(service, found, uses);
  });
  await drawn.show();
  const again = setInterval(() => {
    if (document.hidden) return;
    quietly(drawn.show);
    quietly(wrong.refresh); // its words change while it fires
  }, PLOTS_EACH_MS);
  return () => clearInterval(again);
}

export function render(root, context) {
  return context.rest.length ? renderOne(root, context, context.rest[0]) : renderList(root, context);
}
