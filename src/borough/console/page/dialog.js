// A question before something is changed, in a dialog that keeps the keyboard within it.

import { make } from "./elements.js";

// Resolves to what was given, as FormData, or to null where it was not meant after all. `parts` are
// paragraphs and fields; what cannot be undone is `danger`, and there the keyboard begins at `no`.
export function asked(question, parts, { yes, no = "Cancel", danger = false }) {
  const leave = make("button", { type: "button", class: "quiet", autofocus: danger ? "" : null }, no);
  const form = make("form", { method: "dialog" }, make("h2", { id: "question" }, question), parts,
    make("p", { class: "acts" }, leave, make("button", { value: "yes", class: danger ? "danger" : null }, yes)));
  const dialog = make("dialog", { "aria-labelledby": "question" }, form);
  leave.addEventListener("click", () => dialog.close("no"));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "yes" ? new FormData(form) : null;
      dialog.remove();
      resolve(given);
    });
  });
}

export function field(label, input) {
  return make("label", { class: "field" }, make("span", {}, label), input);
}
