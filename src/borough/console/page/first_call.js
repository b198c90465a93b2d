// What a console says while nothing has happened yet: what will be seen here, and a first call as a command to be copied.

import { button, make, say } from "./elements.js";

const COPIED_MS = 1500;

// Whether nobody has called anything since the start, nor has any event been handled. Of no service nothing is known.
const isSilent = (services) => services.length > 0 && services.every(({ calls, handled }) => !calls && !handled);

const quoted = (text) => (/^[\w:/.%-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

const bodyOf = ({ requestBody: body }) => body?.content?.["application/json"];

// Whether all that it needs can be said by example, by somebody who is nobody.
const isEasy = (each) => each.security.length === 0 && (!each.requestBody || bodyOf(each)?.example !== undefined)
  && each.parameters.every((one) => !one.required || one.example !== undefined);

// The operation that is easiest to call; of those that change something first the ones of `publishers`, where events are wanted.
export function easiest(operations, publishers = []) {
  const easy = operations.filter(isEasy);
  const publishes = (each) => each.method === "POST" && publishers.some((name) => each.path.startsWith(`/${name}/`) || each.path === `/${name}`);
  const rank = (each) => (publishes(each) ? 0 : each.method === "GET" ? 1 + each.parameters.filter((one) => one.required).length : 9);
  return easy.sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

// The call as a command.
export function commandOf(origin, each) {
  const needed = (place) => each.parameters.filter((one) => one.in === place && one.required);
  const path = needed("path").reduce((text, one) => text.replace(`{${one.name}}`, encodeURIComponent(one.example)), each.path);
  const query = new URLSearchParams(needed("query").map((one) => [one.name, String(one.example)])).toString();
  const body = bodyOf(each);
  return ["curl", each.method === "GET" ? "" : `-X ${each.method}`, quoted(`${origin}${path}${query ? `?${query}` : ""}`),
    ...needed("header").map((one) => `-H ${quoted(`${one.name}: ${one.example}`)}`),
    ...(body ? ["-H 'content-type: application/json'", `-d ${quoted(JSON.stringify(body.example))}`] : [])].filter(Boolean).join(" ");
}

async function found(publishers) {
  const [{ readOperations }, { resolver }, answer] = await Promise.all([import("/docs/operations.js"), import("/docs/schema.js"), fetch("/openapi.json")]);
  const api = await answer.json();
  const operation = easiest(readOperations(api, resolver(api)), publishers);
  return operation && commandOf(location.origin, operation);
}

function copied(text, place) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(copy, "Copied");
      setTimeout(() => say(copy, "Copy"), COPIED_MS);
    } catch {
      getSelection().selectAllChildren(place); // to be copied by hand
    }
  }, { "aria-label": "Copy the command" });
  return copy;
}

export class FirstCall {
  // `publishers`: services whose events are wanted, where it is about events.
  constructor(facts, heading, text, publishers = []) {
    this.facts = facts;
    this.publishers = publishers;
    this.how = make("div", { class: "how" });
    this.element = make("section", { class: "empty first", hidden: "" }, make("h2", {}, heading), make("p", {}, text), this.how);
    this.isAsked = false;
  }

  // Show it where nothing has happened; `services` as the live topic has them.
  judge(services) {
    this.show(isSilent(services));
  }

  // The same by what is counted now; what cannot be asked is not known to be silent.
  async look(context) {
    const { services } = await context.api.get("state").catch(() => ({ services: {} }));
    this.judge(Object.values(services));
  }

  show(isWanted) {
    this.element.hidden = !isWanted;
    if (!isWanted || this.isAsked) return;
    this.isAsked = true;
    found(this.publishers).catch(() => null).then((command) => this.tell(command));
  }

  tell(command) {
    if (command) {
      const code = make("code", {}, command);
      const place = make("pre", { tabindex: 0, "aria-label": "A first call, as a command" }, code);
      this.how.replaceChildren(make("p", {}, "A first call, in a terminal:"), place, copied(command, code));
      return;
    }
    const name = this.facts.services.find((each) => each.contracts.length)?.name;
    if (name) this.how.replaceChildren(make("p", {}, "A first call: ", make("a", { href: `#/services/${encodeURIComponent(name)}` }, `try an operation of ${name}`), "."));
  }
}
