// How much of what a service has room for is taken, and what found none.

import { count, make, table } from "./elements.js";

const KINDS = { calls: "Calls", threads: "Threads" };
const COLUMNS = [{ title: "Room" }, { title: "Taken", number: true }, { title: "Waiting", number: true }, { title: "Refused", number: true }];

const warned = (text, isBad) => make("span", { class: isBad ? "bad" : "" }, text);

export class Rooms {
  constructor() {
    this.element = make("div", { id: "rooms" }, make("p", { class: "soft" }, "Nothing is known of it."));
    this.shown = "[[],[]]";
  }

  // `full` are the kinds of which more is taken than the rules allow.
  show(rooms, full) {
    const text = JSON.stringify([rooms, full]);
    if (text === this.shown) return;
    this.shown = text;
    this.element.replaceChildren(table("How much room is taken", COLUMNS, rooms.map(({ kind, busy, limit, waiting, refused }) => [
      KINDS[kind] ?? kind, warned(`${count(busy)} of ${count(limit)}`, full.includes(kind)), warned(count(waiting), waiting > 0), count(refused)])),
    make("p", { class: "soft" }, "Of all its processes. Threads do blocking work. Refused since the start."));
  }
}
