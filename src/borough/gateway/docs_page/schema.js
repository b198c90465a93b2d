// What a JSON Schema says, as rows that can be read, and an example that fits it.

import { el, inline } from "./dom.js";

const DEEPEST = 6;

export function resolver(root) {
  return function resolve(thing) {
    let seen = 0;
    while (thing && typeof thing === "object" && thing.$ref && seen++ < 16) {
      const steps = thing.$ref.replace(/^#\//, "").split("/").map((s) => s.replace(/~1/g, "/").replace(/~0/g, "~"));
      thing = steps.reduce((at, step) => (at ? at[step] : undefined), root);
    }
    return thing || {};
  };
}

// `orders.Orders.Line.Input` is the Line of a request; within its page the last word says enough.
function nameOf(schema) {
  if (!schema || !schema.$ref) return (schema && schema.title) || "";
  return decodeURIComponent(schema.$ref.split("/").pop()).replace(/\.Input$/, "").split(".").pop();
}
const choices = (schema) => schema.oneOf || schema.anyOf || [];
const isNull = (schema) => schema.type === "null" || schema.const === null;

export function typeText(schema, resolve) {
  const named = nameOf(schema);
  const full = resolve(schema);
  if (full.const !== undefined) return JSON.stringify(full.const);
  if (full.enum) return named || full.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (choices(full).length) return choices(full).map((each) => typeText(each, resolve)).join(" | ");
  if (full.allOf) return named || full.allOf.map((each) => typeText(each, resolve)).join(" & ");
  const types = [].concat(full.type || (full.properties ? "object" : "any"));
  return types.map((type) => {
    if (type === "array") return `${full.items ? typeText(full.items, resolve) : "any"}[]`;
    if (type === "object" && named) return named;
    if (type === "object" && full.additionalProperties && typeof full.additionalProperties === "object")
      return `{string: ${typeText(full.additionalProperties, resolve)}}`;
    return full.format && type !== "null" ? `${type} (${full.format})` : type;
  }).join(" | ");
}

function limits(schema) {
  const words = [];
  const pairs = [["minimum", "≥"], ["maximum", "≤"], ["exclusiveMinimum", ">"], ["exclusiveMaximum", "<"]];
  for (const [key, sign] of pairs) if (schema[key] !== undefined) words.push(`${sign} ${schema[key]}`);
  if (schema.minLength !== undefined || schema.maxLength !== undefined)
    words.push(`${schema.minLength ?? 0} to ${schema.maxLength ?? "any number of"} characters`);
  if (schema.minItems !== undefined || schema.maxItems !== undefined)
    words.push(`${schema.minItems ?? 0} to ${schema.maxItems ?? "any number of"} items`);
  if (schema.pattern) words.push(`matches ${schema.pattern}`);
  if (schema.enum) words.push(`one of ${schema.enum.map((value) => JSON.stringify(value)).join(", ")}`);
  if (schema.default !== undefined) words.push(`default ${JSON.stringify(schema.default)}`);
  return words.join(", ");
}

// The schemas worth opening inside this one: objects, items of lists, members of unions.
function inner(schema, resolve) {
  const full = resolve(schema);
  if (full.properties) return [schema];
  if (full.items) return inner(full.items, resolve);
  if (typeof full.additionalProperties === "object") return inner(full.additionalProperties, resolve);
  return [...choices(full), ...(full.allOf || [])].filter((each) => !isNull(resolve(each))).flatMap((each) => inner(each, resolve));
}

export function row(name, schema, required, resolve, about, depth = 0) {
  const full = resolve(schema);
  const text = about || schema.description || full.description || "";
  const extra = limits(full);
  const line = el("div", { className: "row" },
    el("span", { className: "name" }, name), el("span", { className: "type" }, typeText(schema, resolve)),
    required ? el("span", { className: "must" }, "required") : null,
    text ? el("div", { className: "about" }, inline(text)) : null,
    extra ? el("div", { className: "about" }, extra) : null);
  if (depth < DEEPEST) line.append(...opened(schema, resolve, depth + 1));
  return line;
}

function opened(schema, resolve, depth) {
  return inner(schema, resolve).map((each) => {
    const details = el("details", {}, el("summary", {}, nameOf(each) || "its fields"));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(rows(each, resolve, depth));
    });
    return details;
  });
}

export function rows(schema, resolve, depth = 0) {
  const full = resolve(schema);
  const box = el("div", { className: "rows" });
  if (full.properties) {
    const required = new Set(full.required || []);
    for (const [name, property] of Object.entries(full.properties))
      box.append(row(name, property, required.has(name), resolve, "", depth));
    if (!Object.keys(full.properties).length) box.append(el("div", { className: "row" }, "no fields"));
    return box;
  }
  box.append(row("", schema, false, resolve, "", depth));
  return box;
}

export function exampleOf(schema, resolve, depth = 0) {
  const full = resolve(schema);
  if (full.examples && full.examples.length) return full.examples[0];
  for (const key of ["example", "default", "const"]) if (full[key] !== undefined) return full[key];
  if (full.enum) return full.enum[0];
  const members = choices(full).filter((each) => !isNull(resolve(each)));
  if (members.length) return exampleOf(members[0], resolve, depth);
  if (full.allOf) return Object.assign({}, ...full.allOf.map((each) => exampleOf(each, resolve, depth)));
  const type = [].concat(full.type || (full.properties ? "object" : "string")).find((each) => each !== "null");
  if (type === "object") return depth > DEEPEST ? {} : objectExample(full, resolve, depth);
  if (type === "array") return depth > DEEPEST || !full.items ? [] : [exampleOf(full.items, resolve, depth + 1)];
  if (type === "integer" || type === "number") return Math.max(full.minimum ?? (full.exclusiveMinimum ?? 0) + 1, 0);
  if (type === "boolean") return true;
  return textExample(full);
}

function objectExample(schema, resolve, depth) {
  const found = {};
  const required = new Set(schema.required || []);
  for (const [name, property] of Object.entries(schema.properties || {}))
    if (required.has(name) || depth === 0) found[name] = exampleOf(property, resolve, depth + 1);
  return found;
}

function textExample(schema) {
  const known = {
    uuid: "018f3a52-7c1e-7d3a-9b1a-2f6d1c0e5a77", date: "2025-01-31", "date-time": "2025-01-31T09:30:00Z",
    email: "ada@example.org", uri: "https://example.org", decimal: "9.90", byte: "aGk=",
  };
  return known[schema.format] || "text".padEnd(schema.minLength || 0, "x").slice(0, schema.maxLength || undefined);
}
