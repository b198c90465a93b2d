// Where other machines reach the console, its password is asked for first.

import { make, say } from "./elements.js";

// Done when somebody has logged in.
export function logIn(root, api) {
  const password = make("input", { type: "password", id: "password", autocomplete: "current-password", required: "" });
  const told = make("p", { class: "bad", role: "alert" });
  const form = make("form", { class: "login" },
    make("h1", {}, "Console"),
    make("label", { for: "password" }, "Password"), password,
    make("button", { type: "submit" }, "Log in"), told);
  root.replaceChildren(form);
  password.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      say(told, "");
      try {
        await api.post("session", { password: password.value });
        await api.session();
        resolve();
      } catch (error) {
        say(told, error.message);
        password.select();
      }
    });
  });
}
