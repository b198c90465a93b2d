// Elements and texts from data. Text is always set as text, so no name in a contract can become markup.

const SVG = "http://www.w3.org/2000/svg";
const plain = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
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

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function serviceLink(name) {
  return make("a", { href: `#service-${name}` }, name);
}

// "a, b and c" with each a link.
export function serviceLinks(names) {
  return names.flatMap((name, index) => [
    index === 0 ? "" : index === names.length - 1 ? " and " : ", ",
    serviceLink(name),
  ]);
}
