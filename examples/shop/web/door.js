// Signing in: a dialog that opens when something needs a customer.

import { call, newKey, session } from "./api.js";
import { $, say } from "./page.js";

let entered = [];

/** Resolves once somebody is signed in, or with false when they would rather not. */
export function enter() {
  if (session.current) return Promise.resolve(true);
  if (!$("door").open) $("door").showModal();
  return new Promise((resolve) => entered.push(resolve));
}

export function leave() {
  session.end();
  location.reload();
}

async function begin(email, password) {
  session.begin(await call("POST", "/accounts/sessions", { body: { email, password } }));
  $("door").close();
}

async function open(email, name, password) {
  await call("POST", "/accounts", { body: { email, name, password } });
  await begin(email, password);
}

async function attempt(work) {
  const buttons = $("door").querySelectorAll("button");
  buttons.forEach((button) => (button.disabled = true));
  say($("door-problem"));
  try {
    await work();
  } catch (problem) {
    say($("door-problem"), problem.sentence ?? problem.message, "bad");
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

$("guest").addEventListener("click", () =>
  attempt(() => open(`guest-${newKey().slice(0, 12)}@shop.example`, "Guest", newKey())),
);

$("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const [email, password, name] = ["email", "password", "name"].map((key) => form.get(key).trim());
  attempt(() => {
    if (event.submitter?.value !== "open") return begin(email, password);
    if (name) return open(email, name, password);
    event.target.elements.name.focus();
    throw new Error("Please give a name to open an account.");
  });
});

$("door-close").addEventListener("click", () => $("door").close());

$("door").addEventListener("close", () => {
  const waiting = entered;
  entered = [];
  waiting.forEach((resolve) => resolve(Boolean(session.current)));
});
