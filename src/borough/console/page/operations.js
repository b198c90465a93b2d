// The contracts of a service, as a team reads them: operations that can be tried, and events.
//
// The form that tries an operation is that of the docs page, /docs; it is loaded when one is opened.

import { colourOf, duration, listed, make, percent, plural, prose, rate, say } from "./elements.js";

let asking = null;

// What the docs page knows of the public operations, by method and path.
function described() {
  asking ??= Promise.all([
    import("/docs/operations.js"), import("/docs/schema.js"), import("/docs/tryit.js"), fetch("/openapi.json").then((answer) => answer.json()),
  ]).then(([{ readOperations }, { resolver }, { tryForm }, api]) => {
    const resolve = resolver(api);
    const found = new Map(readOperations(api, resolve).map((each) => [`${each.method} ${each.path}`, each]));
    return { found, resolve, tryForm };
  }).catch((error) => {
    asking = null;
    throw error;
  });
  return asking;
}

function who(operation) {
  if (operation.allow === null) return "other services";
  if (operation.allow === "anyone") return "anyone";
  return "signed-in users" + (operation.scopes.length ? ` with ${listed(operation.scopes)}` : "");
}

async function trying(operation, place, token) {
  if (operation.allow === null) {
    place.replaceChildren(make("p", { class: "soft" }, "Other services call it, and nobody at the edge: ",
      make("code", {}, `borough call ${operation.wire_name} --as SERVICE`)));
    return;
  }
  const { found, resolve, tryForm } = await described();
  const known = found.get(`${operation.method} ${operation.path}`);
  place.replaceChildren(known
    ? tryForm(known, resolve, () => token.value.trim())
    : make("p", { class: "soft" }, "The edge does not describe it now."));
}

function operationOf(each, numbers, token) {
  const place = make("div");
  const number = make("span", { class: "number" }, "");
  numbers.set(each.wire_name, number);
  const details = make("details", { "data-operation": each.wire_name },
    make("summary", {}, make("span", { class: "method" }, each.method), " ", make("code", {}, each.path), " ", make("small", {}, number)),
    make("p", {}, prose(each.doc), each.deprecated === null ? "" : make("em", {}, ` Deprecated ${each.deprecated}.`)),
    make("p", { class: "soft" }, `${each.wire_name}, for ${who(each)}${each.stream ? ", as a stream" : ""}`), place);
  details.addEventListener("toggle", () => {
    if (!details.open || place.children.length) return;
    trying(each, place, token).catch((error) => place.replaceChildren(make("p", { class: "bad", role: "alert" }, error.message)));
  });
  return details;
}

function contract(each, numbers, token) {
  const events = each.events.length ? [
    make("h4", {}, "Events it publishes"),
    make("ul", {}, each.events.map((event) => make("li", {}, make("code", {}, event.name), " ", prose(event.doc),
      make("small", {}, event.key === null ? " in no order" : ` in order per ${event.key}`)))),
  ] : [];
  return make("section", { class: "card contract" },
    make("h3", {}, `${each.name} ${each.version} `, make("small", {}, plural(each.operations.length, "operation"))),
    each.doc && make("p", {}, prose(each.doc)),
    each.deprecated === null ? "" : make("p", {}, make("em", {}, `Deprecated ${each.deprecated}.`)),
    each.operations.map((operation) => operationOf(operation, numbers, token)), events);
}

// `element`, and `show(values, keys)` for the topic `operations`.
export function operationsOf(service) {
  const numbers = new Map();
  const token = make("input", { type: "password", id: "token", placeholder: "Bearer token", autocomplete: "off", "aria-label": "Bearer token for trying operations" });
  const isPublic = service.contracts.some((each) => each.operations.some((operation) => operation.allow !== null));
  const element = make("div", { class: "contracts" },
    isPublic ? make("p", { class: "soft" }, "Open an operation to try it. ", token) : "",
    service.contracts.length ? service.contracts.map((each) => contract(each, numbers, token)) : make("p", { class: "soft" }, "No contract is known of it here."));
  return { element, show(values, keys) {
    for (const key of keys) {
      const found = values.get(key);
      const place = numbers.get(key);
      if (!found || !place) continue;
      const { per_s, faults_per_s, p99_ms } = found.lately;
      const failed = faults_per_s > 0 ? `, ${percent(faults_per_s / per_s)} failed` : "";
      say(place, found.calls ? `${plural(found.calls, "call")} · ${rate(per_s)}, p99 ${duration(p99_ms)}${failed}` : "not called yet");
      place.className = `number ${faults_per_s > 0 ? colourOf(found.faring) : ""}`;
    }
  } };
}
