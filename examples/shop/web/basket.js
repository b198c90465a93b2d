// The basket and paying for it.

import { Problem, call, newKey } from "./api.js";
import { $, element, money, say } from "./page.js";

const CARDS = [
  ["4242424242424242", "Pays"],
  ["4000000000000002", "Is declined"],
  ["4000000000009995", "Has no money on it"],
  ["4000000000000119", "Pays, but the issuer answers too late"],
  ["4000000000000341", "The issuer never answers"],
];

let basket = { lines: [], total_cents: 0 };
let key = null; // of the checkout at hand; a repeat carries the same one

export async function loadBasket() {
  show(await call("GET", "/orders/basket"));
}

export async function add(item) {
  const line = basket.lines.find((found) => found.sku === item.sku);
  await put(item.sku, Math.min((line?.quantity ?? 0) + 1, 99));
  say($("outcome"));
}

async function put(sku, quantity) {
  show(await call("PUT", `/orders/basket/${encodeURIComponent(sku)}`, { body: { quantity } }));
}

/** Wire the basket up. `guard` runs work for a signed-in customer, `placed` hears of orders. */
export function showBasket(guard, placed) {
  $("cards").append(
    ...CARDS.map(([number, what], index) =>
      element(
        "label",
        {},
        element("input", { type: "radio", name: "card", value: number, checked: index === 0 }),
        element("span", {}, what, " ", element("small", {}, number.replace(/(.{4})(?=.)/g, "$1 "))),
      ),
    ),
  );
  $("checkout").addEventListener("submit", (event) => {
    event.preventDefault();
    guard(() => pay(new FormData(event.target).get("card"), placed));
  });
  $("empty").addEventListener("click", () =>
    guard(async () => {
      await call("DELETE", "/orders/basket");
      await loadBasket();
    }),
  );
  // On a phone the way to the basket is shown while the basket itself is not.
  new IntersectionObserver(([seen]) => {
    $("to-basket").classList.toggle("there", seen.isIntersecting);
  }).observe($("basket"));
  $("lines").addEventListener("change", (event) =>
    guard(() => put(event.target.name, Number(event.target.value))),
  );
}

async function pay(card, placed) {
  const button = $("checkout").querySelector("[type=submit]");
  button.disabled = true;
  button.textContent = "Paying …";
  key ??= newKey();
  try {
    const order = await call("POST", "/orders", { body: { card }, key });
    key = null;
    say($("outcome"), order.message, order.state === "paid" ? "good" : "open");
    await placed(order.order_id);
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status === 401) throw problem;
    if (!problem.open) key = null;
    say($("outcome"), sentence(problem), problem.open ? "open" : "bad");
    await placed(problem.order_id);
  } finally {
    button.disabled = false;
    button.textContent = key ? "Try again" : "Pay";
  }
  await loadBasket();
}

function sentence(problem) {
  if (problem.is("PaymentDeclined"))
    return `Your card was declined (${problem.reason}). Nothing was charged; your basket is as it was. Try another card?`;
  if (problem.is("SoldOut"))
    return "Something in your basket has just been sold out. No card was charged. Take it out and try again.";
  if (problem.is("BasketEmpty")) return "There is nothing in the basket.";
  if (problem.open)
    return `${problem.message}. It is safe to try again: you will not pay twice.`;
  return problem.sentence;
}

function show(found) {
  basket = found;
  $("lines").replaceChildren(...basket.lines.map(row));
  const filled = basket.lines.length > 0;
  $("checkout").hidden = !filled && !key;
  $("basket-empty").hidden = filled;
  $("total").textContent = money(basket.total_cents);
  const pieces = basket.lines.reduce((sum, line) => sum + line.quantity, 0);
  $("to-basket").hidden = !filled;
  $("to-basket").textContent = `Basket: ${pieces} for ${money(basket.total_cents)}`;
}

function row(line) {
  return element(
    "li",
    {},
    element("span", {}, line.name, element("small", {}, `${money(line.price_cents)} each`)),
    element("input", {
      type: "number",
      name: line.sku,
      value: line.quantity,
      min: 0,
      max: 99,
      "aria-label": `How many of ${line.name}`,
    }),
    element("strong", {}, money(line.quantity * line.price_cents)),
  );
}
