// The frame: which page is shown (by the part of the address behind #), who is logged in, what is live.
//
// A page is a module with `title`, `path` and `render(root, context)`, which may return what disposes
// of it. `context` has:
//   route, rest, query   of `#/trace/ID?x=1`: "trace", ["ID"], URLSearchParams
//   facts()              the system's facts, asked for once
//   api, live            see api.js and live.js
//   follow(topics, fn)   as live.follow, ended with the page
//   go(hash), renew(query), say(text)   another page; this page with another query; say it to a screen reader

import * as api from "./api.js";
import { byService, CountBadge } from "./badges.js";
import { listed, make, plural, say } from "./elements.js";
import { Followed, Live } from "./live.js";
import { logIn } from "./login.js";

// The pages by their first word; those with a label stand in the navigation.
const PAGES = [
  { path: "map", label: "Map", load: () => import("./map.js") },
  { path: "traces", label: "Traces", load: () => import("./traces.js") },
  { path: "trace", under: "traces", load: () => import("./traces.js") },
  { path: "services", label: "Services", load: () => import("./services.js") },
  { path: "events", label: "Events", load: () => import("./events.js") },
  { path: "alerts", label: "Alerts", load: () => import("./alerts.js") },
];

const at = (id) => document.getElementById(id);
const badge = new CountBadge();
let shown = { dispose() {} };
let asking = null;
let turn = 0;

const live = new Live((state) => {
  if (state !== "open") showStatus("lost", "no answer");
  if (state === "refused") api.session().then((session) => session.logged_in || location.reload(), () => {});
});

function showStatus(state, text) {
  at("status").dataset.state = state;
  say(at("status"), text);
}

function facts() {
  asking ??= api.get("system").catch((error) => {
    asking = null;
    throw error;
  });
  return asking;
}

function read(hash) {
  const [path, query] = hash.replace(/^#\/?/, "").split("?");
  const [route, ...rest] = path.split("/").map(decodeURIComponent);
  return { route: route || "map", rest, query: new URLSearchParams(query ?? "") };
}

// Asked for while it is found out who is logged in.
const first = (PAGES.find((each) => each.path === read(location.hash).route) ?? PAGES[0]).load();

function drawNavigation() {
  at("nav").replaceChildren(make("ul", {}, PAGES.filter((page) => page.label).map((page) =>
    make("li", {}, make("a", { href: `#/${page.path}`, "data-page": page.path }, page.label, page.path === "alerts" ? badge.element : null)))));
}

function markNavigation(page) {
  for (const link of at("nav").querySelectorAll("a")) {
    if (link.dataset.page === (page.under ?? page.path)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function contextOf(place, followed) {
  return {
    ...place,
    api,
    live,
    facts,
    follow: (topics, changed) => followed.follow(topics, changed),
    go: (hash) => { location.hash = hash; },
    renew: (query) => {
      const text = new URLSearchParams(query).toString();
      history.replaceState(null, "", `#/${[place.route, ...place.rest].map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`);
    },
    say: (text) => say(at("said"), text),
  };
}

function failed(error) {
  if (error.status === 401) return location.reload(); // the session has ended: log in again
  console.error(error);
  at("main").replaceChildren(make("section", { class: "empty", role: "alert" },
    make("h1", {}, "This cannot be shown"), make("p", {}, error.message),
    make("button", { type: "button", id: "retry" }, "Try again")));
  at("retry").addEventListener("click", show);
}

async function show(event) {
  const place = read(location.hash);
  const page = PAGES.find((each) => each.path === place.route);
  if (!page) {
    location.replace("#/map");
    return;
  }
  const mine = ++turn;
  shown.dispose();
  markNavigation(page);
  const followed = new Followed(live);
  const root = make("div", { class: `page page-${page.path}` });
  let dispose = null;
  shown = { dispose: () => { followed.end(); dispose?.(); } };
  try {
    const module = await page.load();
    if (mine !== turn) return;
    at("main").replaceChildren(root);
    dispose = (await module.render(root, contextOf(place, followed))) ?? null;
    if (mine !== turn) return dispose?.();
    document.title = `${module.title} · ${(await facts()).name}`;
    if (event && !root.contains(document.activeElement)) at("main").focus({ preventScroll: true }); // a page may have shown what was asked for
  } catch (error) {
    if (mine === turn) failed(error);
  }
}

function followState() {
  live.follow(["state"], (_, values) => {
    const state = values.get("state");
    showStatus(state, state === "ready" ? "running" : state);
    const started = values.get("started_at");
    if (followState.started && followState.started !== started) {
      asking = null; // another process has other facts
      show();
    }
    followState.started = started;
  });
}

// How many alerts fire, wherever one is; the page of alerts says itself which ones are new.
function followAlerts() {
  let before = null;
  live.follow(["alerts"], (_, values) => {
    badge.show(values);
    const firing = values.get("firing") ?? 0;
    if (before !== null && firing > before && read(location.hash).route !== "alerts") {
      const services = [...byService(values)].filter(([, state]) => state === "firing").map(([name]) => name);
      say(at("said"), `${plural(firing, "alert")} firing${services.length ? `: ${listed(services)}` : ""}`);
    }
    before = firing;
  });
}

async function start() {
  const session = await api.session();
  await first;
  if (!session.logged_in) {
    showStatus("waiting", "logged out");
    await logIn(at("main"), api);
  }
  at("leave").hidden = !session.needs_login;
  drawNavigation();
  addEventListener("hashchange", show);
  const named = facts().then(({ name, version }) => {
    say(at("name"), name);
    say(at("version"), version);
  });
  await Promise.all([named, show()]);
  followState(); // after the page, which has one stream for all
  followAlerts();
}

at("leave").addEventListener("click", async () => {
  await api.post("session/end").catch(() => {});
  location.reload();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which page is shown
  at("main").focus();
});
start().catch(failed);
