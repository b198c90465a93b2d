// Elements and texts from data. Text is always set as text, so no name in a contract can become markup.

const SVG = "http://www.w3.org/2000/svg";
const plain = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== ""));
  return element;
}

export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

// A button beside others; `act` is told which one it was.
export function button(text, act, attributes = {}) {
  const found = make("button", { type: "button", class: "quiet", ...attributes }, text);
  found.addEventListener("click", () => act(found));
  return found;
}

// A number that keeps its width within reason: 1,204 and 48.1K.
export function count(number) {
  if (number === null || number === undefined) return "–";
  return number < 100000 ? plain.format(number) : short.format(number);
}

// The same for a narrow place: 12.9K.
export function brief(number) {
  return number < 10000 ? plain.format(number) : short.format(number);
}

export function plural(number, one, many = one + "s") {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function listed(words) {
  return new Intl.ListFormat("en-GB", { type: "conjunction" }).format(words);
}

// What fails is red where it is trouble, and amber where it is a little of much.
export const colourOf = (faring) => (faring === "failing" ? "bad" : "open");

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// What stands where there is nothing: a sentence, and what to do about it.
export function empty(title, text, ...further) {
  return make("section", { class: "empty" }, make("h2", {}, title), make("p", {}, text), further);
}

// A docstring's text, with what stands in backticks as code.
export function prose(text) {
  return text.split(/(`[^`]+`)/).map((part) =>
    (part.length > 2 && part.startsWith("`") ? make("code", {}, part.slice(1, -1)) : part));
}

// A share as a percentage, with as many digits as say something.
export function percent(share) {
  if (share === null || share === undefined) return "–";
  if (share === 0) return "0 %";
  return share < 0.001 ? "<0.1 %" : share < 0.1 ? `${(share * 100).toFixed(1)} %` : `${Math.round(share * 100)} %`;
}

// Milliseconds as people say them: 0.4 ms, 12 ms, 3.2 s.
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0.05) return ms > 0 ? "<0.1 ms" : "0 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 100000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60000)} min`;
}

// Seconds since something, in one unit: 40 s, 5 min, 3 h, 2 days.
export function age(seconds) {
  const given = Math.max(0, seconds);
  if (given < 100) return `${Math.round(given)} s`;
  if (given < 100 * 60) return `${Math.round(given / 60)} min`;
  return given < 48 * 3600 ? `${Math.round(given / 3600)} h` : `${Math.round(given / 86400)} days`;
}

// Per second: 0.2/s, 14/s.
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  return `${perSecond >= 10 ? brief(Math.round(perSecond)) : Number(perSecond.toPrecision(2))}/s`;
}

export function bytes(number) {
  if (number === null || number === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB"];
  let index = 0;
  while (number >= 1024 && index < units.length - 1) { number /= 1024; index++; }
  return `${number < 10 && index ? number.toFixed(1) : Math.round(number)} ${units[index]}`;
}

export function serviceLink(name) {
  return make("a", { href: `#/services/${encodeURIComponent(name)}` }, name);
}

// "a, b and c" with each a link.
export function serviceLinks(names) {
  return names.flatMap((name, index) => [
    index === 0 ? "" : index === names.length - 1 ? " and " : ", ",
    serviceLink(name),
  ]);
}

// What is said wherever quantiles stand.
export const QUANTILES = "p50 (half took less) and p99 (99 % took less): the last minute, or what came before where nothing came in it.";

// A table with a caption for those who cannot see where it stands. `columns`: [{title, number}],
// `rows`: arrays of cells (text, element or list of them); the first cell names its row.
export function table(caption, columns, rows, attributes = {}) {
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    make("table", attributes,
      make("caption", { class: "hidden" }, caption),
      make("thead", {}, make("tr", {}, columns.map((each) =>
        make("th", { scope: "col", class: each.number ? "number" : null }, each.title)))),
      make("tbody", {}, rows.map((cells) => make("tr", {}, cells.map((cell, index) =>
        make(index ? "td" : "th", { scope: index ? null : "row", class: columns[index].number ? "number" : null }, cell)))))));
}
