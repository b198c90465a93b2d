// Orders with their states, and the mail that was sent about them.

import { call, stream } from "./api.js";
import { $, element, money } from "./page.js";

const AT_REST = ["paid", "declined", "cancelled"];
const followed = new Set();

export async function loadHistory(guard) {
  const [orders, mails] = await Promise.all([
    call("GET", "/orders?limit=10"),
    call("GET", "/notifications/mails?limit=10"),
  ]);
  $("history").hidden = !orders.items.length;
  $("orders").replaceChildren(...orders.items.map((order) => orderRow(order, guard)));
  $("post").hidden = !mails.items.length;
  showMails(mails.items);
  for (const order of orders.items)
    if (!AT_REST.includes(order.state)) follow(order.order_id, guard);
  return mails.items;
}

/** Mail is sent after the order has ended; look again until it is there, but not for ever. */
export async function awaitMail(orderId, guard) {
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const mails = await loadHistory(guard);
    if (!orderId || mails.some((mail) => mail.about === orderId)) return;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

async function follow(orderId, guard) {
  if (followed.has(orderId)) return;
  followed.add(orderId);
  try {
    for await (const progress of stream(`/orders/${orderId}/progress`)) {
      const shown = document.querySelector(`[data-order="${orderId}"]`);
      if (shown) describe(shown, progress);
    }
    await awaitMail(orderId, guard);
  } catch {
    // The list shows the state of the last look; the next one begins anew.
  } finally {
    followed.delete(orderId);
  }
}

function orderRow(order, guard) {
  const items = order.lines.map((line) => `${line.quantity} × ${line.name}`).join(", ");
  const shown = element(
    "li",
    { "data-order": order.order_id },
    element(
      "div",
      { class: "row" },
      element("code", {}, order.order_id.slice(0, 8)),
      element("span", { class: "state" }),
      element("strong", {}, money(order.total_cents)),
    ),
    element("small", {}, items),
    element("p", { class: "message", role: "status" }),
  );
  if (order.state === "paid")
    shown.append(
      element(
        "button",
        {
          type: "button",
          "aria-label": `Cancel order ${order.order_id.slice(0, 8)}`,
          onclick: () =>
            guard(async () => {
              await call("POST", `/orders/${order.order_id}/cancel`);
              await loadHistory(guard);
              setTimeout(() => guard(() => loadHistory(guard)), 700);
            }),
        },
        "Cancel and refund",
      ),
    );
  describe(shown, order);
  return shown;
}

function describe(shown, { state, message }) {
  const tone = state === "paid" ? "good" : AT_REST.includes(state) ? "bad" : "open";
  shown.querySelector(".state").textContent = state;
  shown.querySelector(".state").dataset.tone = tone;
  shown.querySelector(".message").textContent = message;
}

function showMails(mails) {
  const open = new Set(
    Array.from($("mails").querySelectorAll("details[open]"), (mail) => mail.dataset.mail),
  );
  $("mails").replaceChildren(
    ...mails.map((mail) =>
      element(
        "li",
        {},
        element(
          "details",
          { "data-mail": mail.mail_id, open: open.has(mail.mail_id) },
          element("summary", {}, mail.subject),
          element("pre", { tabindex: 0, "aria-label": "Text of the mail" }, mail.text),
        ),
      ),
    ),
  );
}
