// Small plots of the last 15 minutes: a curve or two over time, its latest value in the caption.

import { draw, make, say } from "./elements.js";

const WIDTH = 240;
const HEIGHT = 64;
const SPAN_S = 15 * 60;

// `series`: [{label, values, look}], a value for each of `times` (seconds), null for none.
function curves(times, series, highest) {
  const end = times[times.length - 1];
  const x = (time) => WIDTH * (1 - (end - time) / SPAN_S);
  const y = (value) => HEIGHT - 2 - (HEIGHT - 6) * (value / highest);
  return series.map(({ values, look }) => {
    let d = "";
    let open = false;
    values.forEach((value, index) => {
      if (value !== null) d += `${open ? "L" : "M"}${x(times[index]).toFixed(1)} ${y(value).toFixed(1)}`;
      open = value !== null;
    });
    return draw("path", { class: `curve ${look ?? ""}`, d: d && !d.includes("L") ? `${d}h1` : d });
  });
}

export class Plot {
  // `say_` turns a value into words.
  constructor(title, words) {
    this.title = title;
    this.words = words;
    this.latest = make("strong", {}, "–");
    this.most = make("span", {}, "");
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.element = make("figure", { class: "plot" }, make("figcaption", {}, title, this.latest), this.svg,
      make("p", {}, make("span", {}, "15 minutes ago"), this.most, make("span", {}, "now")));
  }

  show(times, series) {
    const all = series.flatMap(({ values }) => values.filter((value) => value !== null));
    const highest = Math.max(...all, 0);
    const lasts = series.map(({ label, values }) => {
      const last = values.findLast((value) => value !== null);
      return last === undefined ? null : `${label ? `${label} ` : ""}${this.words(last)}`;
    }).filter(Boolean);
    say(this.latest, lasts.join(" · ") || "–");
    say(this.most, all.length ? `most ${this.words(highest)}` : "");
    this.svg.setAttribute("aria-label", `${this.title}: ${lasts.join(", ") || "nothing yet"}; at most ${this.words(highest)} in 15 minutes`);
    this.svg.replaceChildren(draw("path", { class: "base", d: `M0 ${HEIGHT - 1}H${WIDTH}` }),
      ...(times.length ? curves(times, series, highest || 1) : []));
  }
}
