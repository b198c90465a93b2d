// Small things for building the page. Text is only ever set as text, never as HTML.

export const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `icons.svg#${name}`);
  svg.append(use);
  return svg;
}

const euros = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });

export const money = (cents) => euros.format(cents / 100);

/** Say something in a live region; nothing hides it. `tone` is good, bad or open. */
export function say(region, text = "", tone = "") {
  region.textContent = text;
  region.dataset.tone = tone;
  region.hidden = !text;
}
