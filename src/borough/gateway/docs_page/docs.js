// The docs page: reads openapi.json beside it and lays it out by service. Loads nothing else.

import { el, inline, prose } from "./dom.js";
import { readOperations } from "./operations.js";
import { resolver, row, rows } from "./schema.js";
import { root, tryForm } from "./tryit.js";

const byId = (id) => document.getElementById(id);
const token = () => byId("token").value.trim();

function groups(api, operations) {
  const known = new Map((api.tags || []).map((tag) => [tag.name, { ...tag, operations: [] }]));
  for (const operation of operations) {
    if (!known.has(operation.service)) known.set(operation.service, { name: operation.service, operations: [] });
    known.get(operation.service).operations.push(operation);
  }
  return [...known.values()].filter((group) => group.operations.length);
}

const anchor = (operation) => `op-${operation.id.replace(/[^A-Za-z0-9_.-]+/g, "-")}`;
const saying = (operation) => operation.summary || (operation.description || "").split("\n")[0];

function who(operation) {
  const needs = operation.security.filter((each) => Object.keys(each).length);
  if (!needs.length || operation.security.length > needs.length) return el("span", { className: "tag who" }, "anyone");
  const scopes = [...new Set(needs.flatMap((each) => Object.values(each).flat()))];
  return el("span", { className: "tag who" }, scopes.length ? `scope ${scopes.join(", ")}` : "signed in");
}

// A tag is a contract's wire name (`orders.Orders.v2`): the service, and which of its contracts.
function heading(group) {
  const [service, ...contract] = group.name.split(".");
  return el("h2", {}, service, contract.length ? el("span", {}, ` ${contract.join(" ")}`) : null);
}

function section(title, ...content) {
  return content.flat().filter(Boolean).length ? [el("h3", {}, title), ...content.flat()] : [];
}

function contentRows(content, resolve) {
  return Object.entries(content || {}).flatMap(([kind, media]) =>
    media.schema ? [el("div", { className: "about type" }, kind), rows(media.schema, resolve)] : []);
}

function responseRow(status, response, resolve) {
  const full = resolve(response);
  const isGood = status < "300";
  const content = contentRows(full.content, resolve);
  const examples = Object.values(full.content || {}).flatMap((media) => [
    ...(media.example !== undefined ? [media.example] : []),
    ...Object.values(media.examples || {}).map((each) => resolve(each).value)]);
  return el("div", { className: "row" },
    el("span", { className: `status ${isGood ? "good" : "bad"}` }, status), inline(full.description || ""),
    content.length ? el("details", { open: isGood && status !== "default" }, el("summary", {}, "content"), content,
      examples.slice(0, 3).map((each) => el("pre", { tabindex: "0", "aria-label": "Example" }, JSON.stringify(each, null, 2)))) : null);
}

// First what this operation says itself; what any operation may answer stands behind it.
function answers(operation, resolve) {
  const all = Object.entries(operation.responses || {});
  const shared = all.filter(([, response]) => response.$ref);
  const rowsOf = (entries) => el("div", { className: "rows" }, entries.map(([status, each]) => responseRow(status, each, resolve)));
  const own = rowsOf(all.filter(([, response]) => !response.$ref));
  if (shared.length) own.append(el("div", { className: "row" }, el("details", {},
    el("summary", {}, `and, as any operation: ${shared.map(([status]) => status).join(", ")}`), rowsOf(shared))));
  return own;
}

function facts(operation, resolve) {
  const [first, ...rest] = (operation.description || "").split("\n");
  const text = first.trim() === (operation.summary || "").trim() ? rest.join("\n") : operation.description;
  return el("div", {},
    text && text.trim() ? prose(text) : null,
    section("Parameters", operation.parameters.length ? el("div", { className: "rows" }, operation.parameters.map((each) =>
      row(each.name, each.schema || {}, each.required, resolve, [each.description, `in ${each.in}`].filter(Boolean).join(" · ")))) : null),
    section("Body", operation.requestBody ? contentRows(operation.requestBody.content, resolve) : []),
    section("Answers", answers(operation, resolve)));
}

function card(operation, resolve) {
  const details = el("details", { className: "operation", id: anchor(operation) },
    el("summary", {},
      el("span", { className: `method ${operation.method.toLowerCase()}` }, operation.method),
      el("span", { className: "path" }, operation.path),
      el("span", { className: "says" }, inline(saying(operation))),
      operation.deprecated ? el("span", { className: "tag old" }, "deprecated") : null,
      who(operation)));
  // Laid out when opened: a large API has thousands of rows.
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1)
      details.append(el("div", { className: "inside" }, facts(operation, resolve), tryForm(operation, resolve, token)));
  });
  return details;
}

function contents(found) {
  const lists = found.flatMap((group) => [
    heading(group),
    el("ul", {}, group.operations.map((operation) => el("li", { "data-for": anchor(operation) },
      el("a", { href: `#${anchor(operation)}` },
        el("span", { className: `method ${operation.method.toLowerCase()}` }, operation.method),
        operation.id.split(".").pop()))))]);
  const wide = matchMedia("(min-width: 48.01rem)");
  const box = el("details", { open: wide.matches }, el("summary", {}, "All operations"), lists);
  wide.addEventListener("change", () => { box.open = wide.matches; });
  return box;
}

function openTarget() {
  const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  }
}

function startSearch(found) {
  const texts = new Map(found.flatMap((group) => group.operations).map((operation) => [anchor(operation),
    [operation.method, operation.path, operation.id, saying(operation), operation.service].join(" ").toLowerCase()]));
  const none = el("p", { className: "note", hidden: true, role: "status" }, "No operation has these words.");
  byId("content").append(none);
  byId("search").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [id, text] of texts) {
      const fits = words.every((word) => text.includes(word));
      shown += fits;
      byId(id).hidden = !fits;
      document.querySelector(`[data-for="${CSS.escape(id)}"]`).hidden = !fits;
    }
    for (const service of document.querySelectorAll(".service"))
      service.hidden = !service.querySelector(".operation:not([hidden])");
    for (const list of document.querySelectorAll("#contents ul"))
      list.hidden = list.previousElementSibling.hidden = !list.querySelector("li:not([hidden])");
    none.hidden = shown > 0;
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      byId("search").focus();
    } else if (event.key === "Escape" && document.activeElement === byId("search")) {
      byId("search").value = "";
      byId("search").dispatchEvent(new Event("input"));
    }
  });
}

function startTheme() {
  const root = document.documentElement;
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;
  byId("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  });
}

async function show() {
  const response = await fetch(`${root}/openapi.json`);
  if (!response.ok) throw new Error(`${root}/openapi.json answered ${response.status}`);
  const api = await response.json();
  const resolve = resolver(api);
  const found = groups(api, readOperations(api, resolve));
  document.title = `${api.info.title} API`;
  byId("title").textContent = api.info.title;
  byId("version").textContent = api.info.version;
  const main = byId("content");
  main.replaceChildren(
    ...(api.info.description ? [el("div", { className: "lead" }, prose(api.info.description))] : []),
    ...found.map((group) => el("section", { className: "service" },
      heading(group), group.description ? el("p", {}, inline(group.description)) : null,
      group.operations.map((operation) => card(operation, resolve)))));
  if (!found.length) main.append(el("p", { className: "note" }, "No operation is public yet: name allow= in a contract."));
  byId("contents").replaceChildren(contents(found));
  startSearch(found);
  openTarget();
  addEventListener("hashchange", openTarget);
}

byId("sign-in").addEventListener("submit", (event) => event.preventDefault());
startTheme();
show().catch((error) => {
  byId("content").replaceChildren(el("p", { className: "note bad", role: "alert" }, `The API description cannot be shown: ${error.message}`));
});
