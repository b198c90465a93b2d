// What somebody does about alerts, each after a question that takes what has to be known of it.

import { asked, field } from "./dialog.js";
import { make } from "./elements.js";

const MORNING = 9;
const HOUR_S = 3600;
const SPANS = [["1 hour", 1], ["4 hours", 4], ["until tomorrow, 9:00", "morning"]];

function untilMorning() {
  const morning = new Date();
  morning.setDate(morning.getDate() + 1);
  morning.setHours(MORNING, 0, 0, 0);
  return (morning - Date.now()) / 1000;
}

// For how long, as radio buttons; the last has a number of hours beside it.
function spans() {
  const option = ([label, value], checked) => {
    const input = make("input", { type: "radio", name: "span", value });
    input.defaultChecked = checked;
    return make("label", {}, input, label);
  };
  const other = option(["other:", "other"], false);
  const hours = make("input", { type: "number", name: "hours", value: 8, min: 0.25, max: 720, step: 0.25, "aria-label": "Hours", class: "hours" });
  hours.addEventListener("focus", () => { other.firstChild.checked = true; });
  return make("fieldset", { class: "spans" }, make("legend", {}, "For how long"), SPANS.map((each, index) => option(each, index === 0)),
    make("span", { class: "other" }, other, hours, "hours"));
}

const seconds = (given) => ({ morning: untilMorning(), other: Number(given.get("hours")) * HOUR_S })[given.get("span")] ?? Number(given.get("span")) * HOUR_S;

function choice(name, label, any, values, chosen) {
  const options = [["", any], ...values.map((each) => [each, each])].map(([value, text]) =>
    make("option", { value, selected: value === (chosen ?? "") ? "" : null }, text));
  return field(label, make("select", { name }, options));
}

// Who acknowledges or silences: one password is no account, so they say so, once.
const yourName = () => field("Your name", make("input", { name: "by", maxlength: 60, autocomplete: "name", value: localStorage.getItem("name") }));

function by(given) {
  const name = given.get("by").trim();
  localStorage.setItem("name", name);
  return name ? { by: name } : {};
}

export async function acknowledged({ summary }) {
  const given = await asked("Acknowledge this alert?", [make("p", {}, summary), make("p", { class: "soft" }, "It stays open until it is over, and its team is not told again."),
    field("Note (who is at it, what is known)", make("textarea", { name: "note", rows: 2, maxlength: 500, autofocus: "" })), yourName()], { yes: "Acknowledge" });
  return given && { note: given.get("note").trim(), ...by(given) };
}

// What is to be silenced; `rules` and `services` can be chosen, and those of an alert are chosen already.
export async function silenced({ rule, service, summary }, rules, services) {
  const given = await asked(summary ? "Silence this alert?" : "Silence alerts?", [summary ? make("p", {}, summary) : "", make("p", { class: "soft" }, "Nobody is told meanwhile. It ends by itself."),
    choice("rule", "Rule", "every rule", rules, rule), choice("service", "Service", "every service", services, service), spans(),
    field("Why", make("input", { name: "reason", required: "", maxlength: 200, autofocus: "" })), yourName()], { yes: "Silence" });
  return given && { rule: given.get("rule") || null, service: given.get("service") || null, for_s: seconds(given), reason: given.get("reason").trim(), ...by(given) };
}
