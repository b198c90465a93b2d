// The system page: facts are drawn once, counts are asked for each second while somebody looks.

import * as cards from "./cards.js";
import { count, make, say } from "./elements.js";
import { Graph } from "./graph.js";

const EACH_MS = 1000;
const PATIENCE_MS = 5000;
const HUES = 8;
const SHORT_LIST = 12;
const TOTALS = [
  ["calls", "Calls", "since the start", true],
  ["failures", "Failed", "errors of services", true],
  ["in_flight", "In flight", "right now", false],
  ["published", "Events published", "since the start", true],
  ["handled", "Events handled", "since the start", true],
  ["waiting", "Events waiting", "not sent yet", false],
  ["duplicates", "Repeats", "done only once", false],
];

const at = (id) => document.getElementById(id);
let graph = null;
let facts = null;
let before = null;

async function json(path) {
  const response = await fetch(path, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

function drawTotals() {
  at("totals").replaceChildren(...TOTALS.map(([name, label, words]) =>
    make("div", { class: "tile" }, make("dt", {}, label),
      make("dd", { id: `total-${name}` }, "0"), make("dd", { class: "soft", id: `rate-${name}` }, words))));
}

function drawFacts() {
  const hues = new Map(facts.teams.map((team, index) => [team.name, 1 + (index % HUES)]));
  const hue = (team) => hues.get(team) ?? 0;
  document.title = `${facts.name} · system`;
  say(at("name"), facts.name);
  say(at("version"), facts.version);
  drawTotals();
  at("services").replaceChildren(...facts.services.map((each) => cards.service(each, facts, hue(each.team))));
  at("teams").replaceChildren(...facts.teams.map((each) => cards.team(each, facts, hue(each.name))));
  at("areas").replaceChildren(...cards.areas(facts));
  at("relations").replaceChildren(...cards.relations(facts));
  at("list").open = facts.calls.length + facts.hearings.length <= SHORT_LIST;
  const place = make("div", { id: "map", class: "panel" });
  at("map").replaceWith(place);
  at("main").hidden = false;
  graph = new Graph(place, facts, hues);
  graph.group(document.querySelector("[name=grouping]:checked").value);
}

function sums(services) {
  const found = Object.fromEntries(TOTALS.map(([name]) => [name, 0]));
  for (const counts of Object.values(services)) {
    for (const name of Object.keys(found)) found[name] += counts[name] ?? 0;
  }
  return found;
}

function showTotals(state) {
  const now = sums(state.services);
  const seconds = before ? (Date.parse(state.at) - Date.parse(before.at)) / 1000 : 0;
  for (const [name, , words, flows] of TOTALS) {
    const place = at(`total-${name}`);
    say(place, name === "waiting" ? cards.waiting(now[name]) : count(now[name]));
    place.classList.toggle("bad", name === "failures" && now[name] > 0);
    if (!flows || seconds <= 0) continue;
    const rate = (now[name] - before.totals[name]) / seconds;
    say(at(`rate-${name}`), rate > 0 ? `${count(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate))} per second` : words);
  }
  before = { at: state.at, started: state.started_at, totals: now };
}

function show(state) {
  showTotals(state);
  graph.show(state.services);
  for (const each of facts.services) {
    const found = state.services[each.name];
    if (found) cards.showCounts(at(`service-${each.name}`), found);
  }
  const places = [...document.querySelectorAll("[data-operation]")].map((each) =>
    [each.dataset.operation, each.querySelector(".number")]);
  cards.showOperations(places, state.operations);
  cards.showTimes();
  const since = new Date(state.started_at).toLocaleTimeString("en-GB");
  say(at("since"), `, ${since}`);
}

function showStatus(state, text) {
  at("status").dataset.state = state;
  say(at("status"), text);
}

// What the system says now, with new facts where it has been started anew; null without an answer.
async function ask() {
  try {
    const state = await json("/system/state.json");
    const isNew = facts === null || before?.started !== state.started_at;
    return { state, fresh: isNew ? await json("/system/facts.json") : null };
  } catch {
    return null;
  }
}

async function look() {
  const answer = await ask();
  if (answer === null) {
    const seen = before ? new Date(before.at).toLocaleTimeString("en-GB") : "never";
    showStatus("lost", `no answer, last seen ${seen}`);
    return;
  }
  const { state, fresh } = answer;
  if (fresh !== null) {
    facts = fresh;
    before = null;
    drawFacts();
  }
  show(state);
  showStatus(state.state, state.state === "ready" ? "running" : state.state);
}

async function watch() {
  for (;;) {
    if (!document.hidden) await look().catch(console.error);
    await new Promise((resolve) => setTimeout(resolve, EACH_MS));
  }
}

at("grouping").addEventListener("change", (event) => graph?.group(event.target.value));
watch();
