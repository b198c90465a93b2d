// The items: search as one types, a page at a time.

import { call } from "./api.js";
import { $, element, icon, money, say } from "./page.js";

let asked = null;
let next = null;

/** `choose(item)` is called when somebody wants one. */
export function showItems(choose) {
  const search = (after) => find($("query").value, after, choose);
  let waiting;
  $("query").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 120);
  });
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    search();
  });
  $("more").addEventListener("click", () => search(next));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, dialog");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    $("query").focus();
  });
  search();
}

async function find(q, after, choose) {
  asked?.abort();
  asked = new AbortController();
  const query = new URLSearchParams({ q, limit: 24, ...(after && { after }) });
  try {
    const page = await call("GET", `/search/items?${query}`, { signal: asked.signal });
    next = page.next;
    show(q, page, Boolean(after), choose);
    say($("notice"));
  } catch (problem) {
    if (problem.name !== "AbortError") say($("notice"), problem.sentence ?? problem.message, "bad");
  }
}

function show(q, page, more, choose) {
  const tiles = page.items.map((item) => tile(item, choose));
  if (more) $("results").append(...tiles);
  else $("results").replaceChildren(...tiles);
  if (more) tiles[0]?.querySelector("button").focus();
  $("results").classList.remove("waiting");
  const none = !more && !tiles.length;
  $("found").textContent = none ? `Nothing for “${q}”` : q.trim() ? `Results for “${q.trim()}”` : "Everything";
  $("more").hidden = !page.next;
}

function tile(item, choose) {
  const left = item.stock === 0 ? "Sold out" : item.stock < 10 ? `Only ${item.stock} left` : "";
  return element(
    "li",
    { class: "tile", "data-category": item.category },
    element("div", { class: "picture" }, icon(item.category)),
    element("h2", {}, item.name),
    element("p", {}, item.description),
    element(
      "div",
      { class: "row" },
      element("strong", {}, money(item.price_cents)),
      element("small", {}, left),
      element(
        "button",
        {
          type: "button",
          "aria-label": `Put ${item.name} into the basket`,
          disabled: item.stock === 0,
          onclick: () => choose(item),
        },
        "Add",
      ),
    ),
  );
}
