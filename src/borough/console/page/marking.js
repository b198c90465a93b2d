// What an address asks to be shown: brought into view, marked, and given the keyboard.

const MARK = "asked-for";

export function mark(elements) {
  for (const each of document.querySelectorAll(`.${MARK}`)) {
    each.classList.remove(MARK);
    each.removeAttribute("aria-current");
  }
  for (const each of elements) {
    each.classList.add(MARK);
    each.setAttribute("aria-current", "true");
  }
  const [first] = elements;
  first.tabIndex = -1;
  first.focus({ preventScroll: true });
  first.scrollIntoView({ block: "center", inline: "start" });
}
