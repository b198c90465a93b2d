// The form that tries an operation against this very server, and says what it did as a curl command.

import { el } from "./dom.js";
import { exampleOf } from "./schema.js";

const SHOWN = 200_000;

// Where all of the system lies: empty, or the path that another server has put before it.
export const root = new URL("..", import.meta.url).pathname.slice(0, -1);

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function media(content) {
  const kinds = Object.keys(content || {});
  return kinds.find((kind) => kind.includes("json")) || kinds[0];
}

export function tryForm(operation, resolve, token) {
  const inputs = operation.parameters.map((parameter) => field(parameter, resolve));
  const body = bodyField(operation, resolve);
  const send = el("button", { type: "submit" }, "Send");
  const stop = el("button", { type: "button", className: "quiet", hidden: true }, "Stop");
  const curl = el("button", { type: "button", className: "quiet" }, "Copy as curl");
  const answer = el("div", { className: "answer", role: "status" });
  const ask = () => requestOf(operation, inputs, body, token());
  const form = el("form", { className: "try", "aria-label": `Try ${operation.method} ${operation.path}` },
    inputs.map((input) => input.label), body ? body.label : null,
    el("div", { className: "acts" }, send, stop, curl), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const control = new AbortController();
    stop.onclick = () => control.abort();
    send.disabled = true;
    stop.hidden = false;
    try {
      await exchange(ask(), control.signal, answer);
    } catch (error) {
      answer.replaceChildren(el("p", { className: "line bad" }, control.signal.aborted ? "Stopped." : `No answer: ${error.message}`));
    } finally {
      send.disabled = false;
      stop.hidden = true;
    }
  });
  curl.addEventListener("click", async () => {
    const text = command(ask());
    try {
      await navigator.clipboard.writeText(text);
      curl.textContent = "Copied";
      setTimeout(() => { curl.textContent = "Copy as curl"; }, 1500);
    } catch {
      answer.replaceChildren(el("pre", { tabindex: "0", "aria-label": "Command" }, text));
    }
  });
  return form;
}

function field(parameter, resolve) {
  const schema = resolve(parameter.schema || {});
  const example = parameter.example ?? exampleOf(schema, resolve);
  const shown = typeof example === "object" ? JSON.stringify(example) : String(example);
  const isKey = parameter.name.toLowerCase() === "idempotency-key";
  const listed = schema.enum && el("select", {},
    parameter.required ? null : el("option", { value: "" }, "—"),
    schema.enum.map((value) => el("option", { value: String(value) }, String(value))));
  const input = listed || el("input", {
    value: isKey ? newKey() : parameter.required ? shown : "",
    placeholder: parameter.required || example === null ? false : shown,
    required: Boolean(parameter.required), spellcheck: "false", autocomplete: "off",
  });
  const again = isKey ? el("button", { type: "button", className: "quiet", onclick: () => { input.value = newKey(); } }, "New key") : null;
  const label = el("label", {},
    el("span", {}, el("code", {}, parameter.name), ` ${parameter.in}${parameter.required ? ", required" : ""}`),
    again ? el("div", { className: "with" }, input, again) : input);
  return { parameter, schema, input, label };
}

function bodyField(operation, resolve) {
  const content = operation.requestBody && operation.requestBody.content;
  const kind = media(content);
  if (!kind) return null;
  const described = content[kind];
  const named = described.examples && resolve(Object.values(described.examples)[0]).value;
  const isJson = kind.includes("json");
  const example = described.example ?? named ?? (isJson ? exampleOf(described.schema || {}, resolve) : "");
  const text = isJson ? JSON.stringify(example, null, 2) : String(example);
  const input = el("textarea", { value: text, rows: String(Math.min(16, text.split("\n").length + 1)), spellcheck: "false" });
  return { kind, input, label: el("label", {}, el("span", {}, "body ", el("code", {}, kind)), input) };
}

function requestOf(operation, inputs, body, token) {
  let path = operation.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, schema, input } of inputs) {
    const value = input.value;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value === "" && !parameter.required) continue;
    else if (parameter.in === "header") headers[parameter.name] = value;
    else if (parameter.in === "query" && schema.type === "array") for (const each of many(value)) query.append(parameter.name, each);
    else if (parameter.in === "query") query.append(parameter.name, value);
  }
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = body.kind;
  const target = root + path + (query.size ? `?${query}` : "");
  return { method: operation.method, target, headers, body: body ? body.input.value : undefined };
}

function many(value) {
  try {
    const found = JSON.parse(value);
    if (Array.isArray(found)) return found.map(String);
  } catch { /* a plain list, separated by commas */ }
  return value.split(",").map((each) => each.trim()).filter(Boolean);
}

function command(request) {
  const parts = ["curl", "-i", "-X", request.method];
  for (const [name, value] of Object.entries(request.headers)) parts.push("-H", quoted(`${name}: ${value}`));
  if (request.body !== undefined) parts.push("--data-binary", quoted(request.body));
  parts.push(quoted(location.origin + request.target));
  return parts.join(" ");
}

async function exchange(request, signal, answer) {
  answer.replaceChildren(el("p", { className: "line" }, "Waiting for the answer…"));
  const began = performance.now();
  const response = await fetch(request.target, {
    method: request.method, headers: request.headers, body: request.body, signal, credentials: "same-origin", redirect: "manual",
  });
  const line = el("p", { className: "line" },
    el("span", { className: `status ${response.ok ? "good" : "bad"}` }, String(response.status)), response.statusText,
    ` in ${Math.round(performance.now() - began)} ms`);
  const shown = el("pre", { tabindex: "0", "aria-label": "Answer" });
  const headers = el("details", {}, el("summary", {}, "headers"),
    el("pre", { tabindex: "0", "aria-label": "Headers" }, [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n")));
  answer.replaceChildren(line, shown, headers);
  await read(response, shown);
}

// Streams are shown as they come; anything else is laid out once it is whole.
async function read(response, shown) {
  const kind = response.headers.get("content-type") || "";
  const reader = response.body && response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
    if (kind.includes("ndjson")) shown.textContent = text.slice(-SHOWN);
    if (text.length > SHOWN && !kind.includes("ndjson")) { await reader.cancel(); break; }
    if (text.length > 2 * SHOWN) text = text.slice(-SHOWN);
  }
  if (kind.includes("json") && !kind.includes("ndjson")) {
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
  }
  shown.textContent = text.slice(-SHOWN) || "no body";
}
