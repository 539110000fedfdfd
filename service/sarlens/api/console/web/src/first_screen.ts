// The first screen: the sample scenes of the gateway, each with a question.
import { apiUrl, isAbort } from "./api";
import { byId, make } from "./dom";
import { change, state } from "./link";
import { loadPicture } from "./picture";
import { fileName } from "./scene";

const RECENT = "sarlens-recent";
const MAX_RECENT = 20;

/** Scenes by URL, each with a question, which can be empty. */
export type Samples = Record<string, string>;

export function showFirstScreen(samples: Samples): void {
  const list = byId("samples");
  byId("first").hidden = state().scene !== "";
  document.body.classList.toggle("first", state().scene === "");
  if (list.childElementCount > 0 || state().scene) return;
  for (const [url, question] of Object.entries(samples)) {
    const image = make("img", { alt: "", width: 160, height: 160 });
    const open = (): void => change({ scene: url, questions: question ? [question] : [], window: undefined, view: undefined });
    const text = make("span", {}, make("strong", {}, fileName(url)), make("br"), question);
    list.append(make("li", {}, make("button", { type: "button", click: open }, image, text)));
    const load = loadPicture(image, apiUrl("v1/sar/picture", { url, size: 160 }), new AbortController().signal);
    load.catch((error: unknown) => {
      if (!isAbort(error)) image.remove();
    });
  }
}

/** Scenes that were opened before, as suggestions. */
export function showRecent(opened?: string): void {
  const recent = JSON.parse(localStorage.getItem(RECENT) ?? "[]") as string[];
  const next = opened ? [opened, ...recent.filter((url) => url !== opened)].slice(0, MAX_RECENT) : recent;
  localStorage.setItem(RECENT, JSON.stringify(next));
  byId("recent").replaceChildren(...next.map((url) => make("option", { value: url })));
}
