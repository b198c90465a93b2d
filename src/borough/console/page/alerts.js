// What needs somebody: what is wrong now, what is silenced, what was wrong before, and what is watched at all.

import { acknowledged, silenced } from "./alert_acts.js";
import { Cards, groupOf, runbook, urgency, when } from "./alert_cards.js";
import { age, button, count, empty, listed, make, plural, say, serviceLink, table } from "./elements.js";
import { FirstCall } from "./first_call.js";

export const title = "Alerts";
export const path = "alerts";

const AGAIN_MS = 5000; // figures in the sentences move while nothing begins or ends
const NAMED = 12;
const RULES = [{ title: "Rule" }, { title: "Fires when" }, { title: "Watches" }, { title: "Urgency" }, { title: "Said by" }, { title: "Runbook" }];
const BEFORE = [{ title: "What" }, { title: "Service" }, { title: "Urgency" }, { title: "Fired" }, { title: "For", number: true }, { title: "Acknowledged" }];
const ROUTES = [{ title: "Team" }, { title: "Told by" }, { title: "At" }, { title: "Last told" }, { title: "Last error" }];
const SILENCES = [{ title: "What" }, { title: "Until" }, { title: "Why" }, { title: "By" }];
const SAID_BY = { default: "Borough", "borough.toml": "borough.toml", contract: "its contract" };

const whose = (service, all = "every service") => (service ? serviceLink(service) : all);

function ruleRows(rules) {
  return rules.map((each) => [make("code", {}, each.name), each.condition, whose(each.service), urgency(each.severity),
    SAID_BY[each.source] ?? each.source, each.runbook ? runbook(each.runbook, each.name) : "–"]);
}

function beforeRows(history) {
  return history.map((each) => [each.summary, whose(each.service, "the whole system"), urgency(each.severity), when(each.fired_at ?? each.since),
    age((each.resolved_at ?? each.since) - (each.fired_at ?? each.since)), each.acknowledged_by ? `${each.acknowledged_by}${each.note ? `: ${each.note}` : ""}` : "–"]);
}

function routeRows(routes) {
  return routes.map((each) => [each.team, each.channel === "none" ? make("span", { class: "open" }, "nobody") : each.channel,
    each.channel === "none" ? make("span", {}, "say ", make("code", {}, `[teams.${each.team}] alerts`), " in borough.toml") : each.to,
    each.last_sent === null ? "never" : when(each.last_sent), each.last_error === null ? "–" : make("span", { class: "bad" }, each.last_error)]);
}

function scope({ rule, service }) {
  if (!rule) return service ? ["everything of ", serviceLink(service)] : "everything";
  return [make("code", {}, rule), service ? [" of ", serviceLink(service)] : " everywhere"];
}

// A part of the page that is drawn anew when what it shows is another, and nobody is in it.
function part(id, draw) {
  const element = make("section", { id });
  let shown = "";
  return { element, show(value) {
    const text = JSON.stringify(value);
    if (text === shown || element.contains(document.activeElement)) return;
    shown = text;
    element.replaceChildren(...draw(value));
  } };
}

// What is watched, in a sentence; shown where nothing needs anybody.
function watched({ rules }, services) {
  if (!rules.length) return "No rule is in force: [alerts] enabled = true in borough.toml watches with those that Borough has.";
  const names = [...new Set(rules.map((each) => each.name.replaceAll("-", " ")))];
  const some = names.length > NAMED ? [...names.slice(0, NAMED), `${count(names.length - NAMED)} more, below`] : names;
  return `${plural(rules.length, "rule")} ${rules.length === 1 ? "watches" : "watch"} ${plural(services, "service")}: ${listed(some)}.`;
}

function summary(alerts, silences) {
  const of = (group) => alerts.filter((each) => groupOf(each) === group).length;
  return [`${count(of("firing"))} firing`, `${count(of("acknowledged"))} acknowledged`, `${count(of("pending"))} pending`,
    silences.length ? plural(silences.length, "silence") : null].filter(Boolean).join(" · ");
}

export async function render(root, context) {
  const [facts, first] = await Promise.all([context.facts(), context.api.get("alerts")]);
  const only = context.query.get("service");
  const note = make("p", { id: "note", role: "status", tabindex: -1 });
  const counts = make("p", { class: "soft", id: "facts" });
  const untold = make("p", { id: "untold", class: "bad", hidden: "" });
  const calm = make("div", { id: "calm" });
  const silent = new FirstCall(facts, "No call yet since the start", "Rules about calls and events have nothing to judge until something happens. What goes wrong then stands here, with whose it is.");
  const isShown = ({ service }) => only === null || service === only;
  let view = first;
  let known = null;
  let turn = 0;

  async function act(send, told) {
    try {
      const answer = await send();
      say(note, told(answer));
      note.focus(); // what had the keyboard may go
      await refresh();
    } catch (error) {
      say(note, error.message);
    }
  }

  const acts = {
    async acknowledge(alert) {
      const given = await acknowledged(alert);
      if (given) await act(() => context.api.post(`alerts/${encodeURIComponent(alert.id)}/acknowledge`, given), () => "Acknowledged.");
    },
    async silence(alert) {
      const given = await silenced(alert, [...new Set(view.rules.map((each) => each.name))], facts.services.map((each) => each.name));
      if (given) await act(() => context.api.post("alerts/silences", given), ({ until }) => `Silenced until ${when(until)}.`);
    },
    end: ({ id }) => act(() => context.api.post(`alerts/silences/${encodeURIComponent(id)}/end`, {}), () => "The silence has ended."),
  };

  const cards = new Cards(facts, acts);
  const silences = part("silences", (found) => [make("h2", {}, "Silences"), found.length
    ? table("Silences", SILENCES, found.map((each) => [scope(each), [when(each.until), " ", button("End", () => acts.end(each), { "aria-label": `End the silence: ${each.reason}` })], each.reason, each.by]))
    : make("p", { class: "soft" }, "None."), make("p", { class: "acts" }, button("New silence", () => acts.silence({})))]);
  const before = part("before", (found) => [make("h2", {}, "Before"), found.length
    ? table("What fired before", BEFORE, beforeRows(found)) : make("p", { class: "soft" }, "Nothing has fired and ended yet.")]);
  const rules = part("rules", (found) => (found.length ? [make("h2", {}, "What is watched"),
    make("p", { class: "soft" }, "page: somebody should look at once; ticket: within the working day."), table("Rules", RULES, ruleRows(found))] : []));
  const routes = part("routes", (found) => (found.length ? [make("h2", {}, "Who is told"), table("Routes", ROUTES, routeRows(found))] : []));

  function show(found) {
    view = found;
    const alerts = found.alerts.filter(isShown);
    say(counts, summary(alerts, found.silences));
    const failing = found.routes.filter((each) => each.last_error !== null);
    say(untold, failing.map((each) => `Team ${each.team} could not be told: ${each.last_error}`).join(" "));
    untold.hidden = !failing.length;
    cards.show(alerts);
    calm.hidden = alerts.length > 0;
    if (!alerts.length) calm.replaceChildren(empty(only === null ? "Nothing needs anybody" : `Nothing needs anybody at ${only}`, watched(found, facts.services.length)));
    silences.show(found.silences);
    before.show(found.history.filter(isShown));
    rules.show(found.rules);
    routes.show(found.routes);
    const firing = found.alerts.filter((each) => groupOf(each) === "firing");
    const fresh = known === null ? [] : firing.filter((each) => !known.has(each.id));
    known = new Set(firing.map((each) => each.id));
    if (fresh.length) context.say(fresh.map((each) => `Fires now: ${each.summary}`).join(" "));
  }

  async function refresh() {
    const mine = ++turn;
    const found = await context.api.get("alerts");
    if (mine === turn && root.isConnected) show(found); // else there is a newer answer, or another page
  }

  await silent.look(context); // what came later would push the rest down
  root.append(make("div", { class: "heading" }, make("h1", {}, only === null ? title : `Alerts of ${only}`), counts), note,
    ...(only === null ? [] : [make("p", {}, make("a", { href: "#/alerts" }, "All alerts"))]),
    untold, calm, silent.element, cards.element, silences.element, before.element, rules.element, routes.element);
  show(first);
  const quietly = () => refresh().catch(() => {}); // the frame says that nothing answers
  const again = setInterval(() => { if (!document.hidden) quietly(); }, AGAIN_MS);
  context.follow(["alerts"], quietly);
  if (!silent.element.hidden) context.follow(["services"], (_, values) => silent.judge([...values.values()]));
  return () => clearInterval(again);
}
