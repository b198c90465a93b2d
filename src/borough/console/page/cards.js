// Everything on the page that is text: the list of relations, services, teams and business areas.

import { count, listed, make, plural, say, serviceLink, serviceLinks } from "./elements.js";

const NUMBERS = [
  ["calls", "Calls"], ["failures", "Failed"], ["in_flight", "In flight"], ["retries", "Retries"],
  ["published", "Events out"], ["handled", "Events in"], ["waiting", "Waiting"], ["duplicates", "Repeats"],
];
const MOST_WAITING = 1000;
const RUNS = { mock: "Answered by a mock here", elsewhere: "Runs elsewhere" };

const short = (wireName) => wireName.split(".").slice(1).join(".");
const eventName = (wireName) => wireName.slice(wireName.lastIndexOf(".") + 1);

export const waiting = (number) => (number > MOST_WAITING ? `${count(MOST_WAITING)}+` : count(number));

function who(operation) {
  if (operation.allow === null) return "other services";
  if (operation.allow === "anyone") return "anyone";
  return "signed-in users" + (operation.scopes.length ? ` with ${listed(operation.scopes)}` : "");
}

export function relations(facts) {
  const calls = facts.calls.map(({ caller, provider, contracts }) =>
    make("li", { class: "call", "data-from": caller, "data-to": provider },
      serviceLink(caller), " asks ", serviceLink(provider), make("small", {}, listed(contracts.map(short)))));
  const hearings = facts.hearings.map(({ publisher, subscriber, events }) =>
    make("li", { class: "event", "data-from": publisher, "data-to": subscriber },
      serviceLink(publisher), " tells ", serviceLink(subscriber), make("small", {}, listed(events.map(eventName)))));
  const all = [...calls, ...hearings];
  return all.length ? all : [make("li", {}, "No service here calls or hears another one.")];
}

function operation(each) {
  return make("li", { "data-operation": each.wire_name },
    make("p", { class: "route" },
      make("span", { class: "method" }, each.method), make("code", {}, each.path)),
    make("p", {}, each.doc.split("\n\n")[0], each.deprecated === null ? "" : make("em", {}, ` Deprecated ${each.deprecated}.`)),
    make("p", { class: "soft" }, `for ${who(each)}${each.stream ? ", as a stream" : ""} · `,
      make("span", { class: "number" }, "0 calls")));
}

function contract(each) {
  const events = each.events.length ? [
    make("h4", {}, "Events it publishes"),
    make("ul", {}, each.events.map((event) => make("li", {},
      make("p", {}, make("code", {}, event.name)), make("p", {}, event.doc)))),
  ] : [];
  const told = each.events.length ? `, ${plural(each.events.length, "event")}` : "";
  return make("details", {},
    make("summary", {}, make("strong", {}, each.name), ` ${each.version} `,
      make("small", {}, plural(each.operations.length, "operation") + told)),
    make("div", { class: "contract" },
      each.doc && make("p", {}, each.doc),
      each.deprecated === null ? "" : make("p", {}, make("em", {}, `Deprecated ${each.deprecated}.`)),
      make("h4", {}, "Operations"),
      make("ul", {}, each.operations.map(operation)), events));
}

function fact(label, names) {
  return names.length ? [make("dt", {}, label), make("dd", {}, serviceLinks(names))] : [];
}

export function service(each, facts, hue) {
  const owner = each.team === null ? "no team yet" : `team ${each.team}`;
  const about = [each.domain, owner, each.has_database ? "own database" : null, RUNS[each.runs]];
  const numbers = NUMBERS.map(([name, label]) =>
    make("div", {}, make("dt", {}, label), make("dd", { "data-count": name }, "0")));
  const asked = facts.calls.filter((call) => call.caller === each.name).map((call) => call.provider);
  const asking = facts.calls.filter((call) => call.provider === each.name).map((call) => call.caller);
  const told = facts.hearings.filter((one) => one.publisher === each.name).map((one) => one.subscriber);
  const telling = facts.hearings.filter((one) => one.subscriber === each.name).map((one) => one.publisher);
  return make("article", { id: `service-${each.name}`, class: `card hue-${hue}`, tabindex: -1, "aria-labelledby": `title-${each.name}` },
    make("h3", { id: `title-${each.name}` }, each.name),
    make("p", {}, each.capability ?? each.contracts[0]?.doc ?? "Nobody has said yet what it does."),
    make("p", { class: "soft" }, about.filter(Boolean).join(" · ")),
    each.runs === "elsewhere" ? "" : make("p", { class: "soft", "data-processes": "" }),
    each.runs === "elsewhere" ? "" : make("dl", { class: "numbers" }, numbers),
    make("dl", { class: "near" }, fact("Asks", asked), fact("Is asked by", asking), fact("Tells", told), fact("Hears from", telling)),
    each.contracts.map(contract));
}

// "Process 4711, version 1.2", or the same of several replicas.
function processes(found) {
  const said = ({ pid, version }) => (version ? `${pid} (version ${version})` : String(pid));
  if (!found.length) return "";
  return `${found.length === 1 ? "Process" : `${count(found.length)} processes:`} ${listed(found.map(said))}`;
}

export function showCounts(card, counts) {
  const runners = card.querySelector("[data-processes]");
  if (runners) say(runners, processes(counts.processes));
  for (const place of card.querySelectorAll("[data-count]")) {
    const name = place.dataset.count;
    const number = counts[name];
    say(place, name === "waiting" ? waiting(number) : count(number));
    place.classList.toggle("bad", name === "failures" && number > 0);
    place.classList.toggle("none", number === 0 || number === null);
  }
}

export function showOperations(places, operations) {
  for (const [name, place] of places) {
    const found = operations[name];
    if (!found) continue;
    say(place, plural(found.calls, "call") + (found.failures ? `, ${count(found.failures)} failed` : ""));
  }
}

function localTime(zone) {
  try {
    return new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" }).format();
  } catch {
    return null;
  }
}

function onCall(team) {
  if (team.on_call === null) return "not said";
  if (team.on_call === true) return "yes";
  return team.on_call || "no";
}

export function team(each, facts, hue) {
  const owned = facts.services.filter((one) => one.team === each.name).map((one) => one.name);
  const time = each.time_zone === null ? null : localTime(each.time_zone);
  const row = (label, ...text) => [make("dt", {}, label), make("dd", {}, ...text)];
  const zone = each.time_zone === null ? ["not said"] : [each.time_zone.replaceAll("_", " "),
    time === null ? "" : make("span", { class: "soft" }, ", there it is ", make("time", { "data-zone": each.time_zone }, time))];
  return make("article", { class: `card hue-${hue}` },
    make("h3", {}, each.name),
    make("dl", { class: "near" },
      row("People", each.size === null ? "not said" : String(each.size)),
      row("On call", onCall(each)),
      row("Time zone", ...zone),
      row("Releases", each.release_days.length ? listed(each.release_days) : "on no fixed day"),
      row("Owns", ...(owned.length ? serviceLinks(owned) : ["nothing yet"]))));
}

export function showTimes() {
  for (const place of document.querySelectorAll("[data-zone]")) say(place, localTime(place.dataset.zone));
}

export function areas(facts) {
  const found = new Map();
  for (const each of facts.services) {
    const name = each.domain ?? "";
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(each);
  }
  return [...found].sort(([a], [b]) => (a === "") - (b === "") || a.localeCompare(b)).map(([name, services]) =>
    make("article", { class: "card" },
      make("h3", {}, name || "no area yet"),
      make("ul", {}, services.map((each) => make("li", {}, serviceLink(each.name),
        make("p", { class: "soft" }, each.capability ?? each.contracts[0]?.doc ?? ""))))));
}
