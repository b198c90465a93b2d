// Light or dark: as the machine has it, until somebody chooses. Runs before anything is drawn.

const choice = () => document.documentElement.dataset.theme;

document.documentElement.dataset.theme =
  localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  if (localStorage.getItem("theme") === null) document.documentElement.dataset.theme = event.matches ? "dark" : "light";
});
addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const say = () => { button.textContent = choice() === "dark" ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = choice() === "dark" ? "light" : "dark";
    localStorage.setItem("theme", choice());
    say();
  });
  say();
});
