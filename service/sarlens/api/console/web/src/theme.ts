// Dark and light: as the system says, unless you choose one. Colors of the map are those of the style sheet.
import { byId } from "./dom";

const NAME = "sarlens-theme";

export function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function apply(): void {
  const chosen = localStorage.getItem(NAME);
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
}

/** Follow the system and the button; `redraw` is called after each change. */
export function startTheme(redraw: () => void): void {
  apply();
  byId("theme").addEventListener("click", () => {
    localStorage.setItem(NAME, document.documentElement.dataset["theme"] === "dark" ? "light" : "dark");
    apply();
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    apply();
    redraw();
  });
}
