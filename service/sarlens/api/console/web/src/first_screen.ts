// The first screen: the sample scenes of the gateway, each with a question.
import { apiUrl, isAbort } from "./api";
import { byId, make } from "./dom";
import { fetchJobs, type Job } from "./job";
import { change, EMPTY } from "./link";
import { loadPicture } from "./picture";
import { fileName } from "./scene";

const RECENT = "sarlens-recent";
const MAX_RECENT = 20;
const MAX_SURVEYS = 8;

/** Scenes by URL, each with a question, which can be empty. */
export type Samples = Record<string, string>;

/** Show the sample scenes, or hide them while a scene is open. `open` gets the scene that you choose. */
export function showFirstScreen(isShown: boolean, samples: Samples, open: (url: string, question: string) => void): void {
  const list = byId("samples");
  byId("first").hidden = !isShown;
  document.body.classList.toggle("first", isShown);
  const count = Object.keys(samples).length;
  byId("samples-text").hidden = count === 0;
  byId("no-samples-text").hidden = count > 0;
  if (list.childElementCount > 0 || !isShown) return;
  for (const [url, question] of Object.entries(samples)) {
    const image = make("img", { alt: "", width: 160, height: 160 });
    const text = make("span", {}, make("strong", {}, fileName(url)), make("br"), question);
    list.append(make("li", {}, make("button", { type: "button", click: () => open(url, question) }, image, text)));
    const load = loadPicture(image, apiUrl("v1/sar/picture", { url, size: 160 }), new AbortController().signal);
    load.catch((error: unknown) => {
      if (!isAbort(error)) image.replaceWith(make("p", { class: "failed" }, error instanceof Error ? error.message : ""));
    });
  }
}

/** The latest surveys with an image that can be opened. */
export async function showSurveys(): Promise<void> {
  const jobs = (await fetchJobs(MAX_SURVEYS)).filter(({ image }) => image !== null);
  byId("surveys-title").hidden = jobs.length === 0;
  byId("surveys").replaceChildren(...jobs.map((job) => make("li", {}, surveyButton(job))));
}

function surveyButton({ id, image, questions, status, tiles, model, created }: Job): HTMLElement {
  const open = (): void => change({ ...EMPTY, model, scene: image ?? "", questions, survey: id });
  return make(
    "button",
    { type: "button", click: open },
    make("strong", {}, fileName(image ?? "")),
    make("span", {}, questions.join(" ") || "Caption"),
    make("span", {}, `${tiles} ${tiles === 1 ? "tile" : "tiles"}`),
    make("span", {}, status === "dismissed" ? "canceled" : status),
    make("span", {}, created.slice(0, 16).replace("T", " ")),
  );
}

/** Scenes that were opened before, as suggestions. */
export function showRecent(opened?: string): void {
  const recent = JSON.parse(localStorage.getItem(RECENT) ?? "[]") as string[];
  const next = opened ? [opened, ...recent.filter((url) => url !== opened)].slice(0, MAX_RECENT) : recent;
  localStorage.setItem(RECENT, JSON.stringify(next));
  byId("recent").replaceChildren(...next.map((url) => make("option", { value: url })));
}
