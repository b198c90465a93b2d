// Builds elements. Text is always set as text, never as HTML, so nothing in a description can run.

export function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "value") node.value = value;
    else node.setAttribute(key === "className" ? "class" : key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Paragraphs and `code`, which is what docstrings use.
export function prose(text) {
  const box = el("div", { className: "prose" });
  for (const paragraph of (text || "").split(/\n\s*\n/)) {
    if (paragraph.trim()) box.append(el("p", {}, inline(paragraph)));
  }
  return box;
}

export function inline(text) {
  return text.split(/(`[^`]+`)/).map((part) =>
    part.length > 2 && part.startsWith("`") ? el("code", {}, part.slice(1, -1)) : part);
}
