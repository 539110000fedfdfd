// The console: one page over the API. The link holds the state, and each part shows its own piece of it.
import { getJson, isAbort } from "./api";
import { setApiKey } from "./api_key";
import { Ask } from "./ask";
import { byId, make } from "./dom";
import type { Basemap } from "./earth";
import { hideError, showError } from "./errors";
import { showFirstScreen, showRecent, showSurveys, type Samples } from "./first_screen";
import { fetchJob } from "./job";
import { startKeyboard } from "./keyboard";
import { change, EMPTY, onChange, state, type State } from "./link";
import { SceneMap } from "./map";
import { loadModels, showModel } from "./models";
import { Picture } from "./picture";
import { Plan } from "./plan";
import { RenderingMenus } from "./rendering";
import { factsOf, fetchScene, fileName } from "./scene";
import { Selection } from "./selection";
import { Survey } from "./survey";
import { SurveyLayer } from "./survey_layer";
import { startTheme } from "./theme";
import { TilePanel } from "./tile_panel";

interface Config {
  scenes: Samples;
  basemap: Basemap | null;
}

const view = new SceneMap((at) => change({ view: at }, "replace"));
const picture = new Picture(view);
/** Parts of the state that are places in a scene. */
const NOWHERE = { window: undefined, polygon: undefined, view: undefined, survey: "", tile: undefined };
const menus = new RenderingMenus((field, value) => {
  const rendering = { ...state().rendering, [field]: value };
  change(field === "swath" ? { ...NOWHERE, rendering } : { rendering });
});
const selection = new Selection(view, (window) => picture.follow(window));
const ask = new Ask(view);
const layer = new SurveyLayer(view, (tile) => change({ tile }));
const plan = new Plan(view, layer);
const survey = new Survey(view, layer, plan);
const tile = new TilePanel(view, survey, layer);
let config: Config = { scenes: {}, basemap: null };
let opening: AbortController | undefined;
/** Whether the next scene that opens is asked its question at once. */
let asksAtOnce = false;

function openSample(scene: string, question: string): void {
  asksAtOnce = question !== "";
  const { model } = state();
  change({ ...EMPTY, model, scene, questions: question ? [question] : [] });
}

function showFirst(isShown: boolean): void {
  showFirstScreen(isShown, config.scenes, openSample);
}

async function open(next: State): Promise<void> {
  opening?.abort();
  hideError();
  picture.clear();
  ask.clear();
  byId<HTMLInputElement>("url").value = next.scene;
  if (!next.scene) {
    close();
    if (next.survey) await openSurvey(next.survey);
    return;
  }
  showFirst(false);
  opening = new AbortController();
  document.body.classList.add("busy");
  try {
    await showScene(next, opening.signal);
  } catch (error) {
    if (isAbort(error)) return;
    close();
    showError(error);
  } finally {
    document.body.classList.remove("busy");
  }
}

/** Open the scene of a survey, which the link has alone. */
async function openSurvey(id: string): Promise<void> {
  try {
    const { image, questions, model } = await fetchJob(id);
    if (image) change({ scene: image, questions, model }, "replace");
  } catch (error) {
    showError(error);
  }
}

/** Show the first screen. */
function close(): void {
  for (const id of ["facts", "look", "ask", "plan", "tile", "tools"]) byId(id).hidden = true;
  view.clear();
  survey.clear();
  document.title = "Sarlens";
  showFirst(true);
  showSurveys().catch(() => undefined); // the first screen is complete without them
}

async function showScene(next: State, signal: AbortSignal): Promise<void> {
  const scene = await fetchScene(next.scene, next.rendering.swath, signal);
  view.show(scene, next.rendering, config.basemap, state().view);
  byId("facts-title").textContent = document.title = fileName(scene.url);
  byId("facts-list").replaceChildren(...factsOf(scene).map((fact) => make("li", {}, fact)));
  for (const id of ["facts", "look", "ask", "tools", "plan"]) byId(id).hidden = false;
  byId("plan-form").hidden = scene.mesh === null;
  byId("no-plan").hidden = scene.mesh !== null;
  showRecent(next.scene);
  plan.reset();
  ask.show();
  showSelection();
  if (asksAtOnce) void ask.submit();
  asksAtOnce = false;
  void plan.load();
  await survey.show();
  tile.show();
}

function showSelection(): void {
  if (!view.scene) return;
  menus.show(view.scene, state().rendering);
  selection.show();
  picture.show();
  plan.show();
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

onChange((next, before) => {
  const isNewModel = next.model !== before.model && view.scene && !(next.model in view.scene.tile);
  if (isNewModel || next.scene !== before.scene || next.rendering.swath !== before.rendering.swath) {
    showModel();
    void open(next);
    return;
  }
  if (next.model !== before.model) {
    showModel();
    plan.reset();
    void plan.load();
  }
  if (!same(next.rendering, before.rendering)) view.render(next.rendering);
  const shown = ({ window, polygon, model, rendering }: State): unknown => [window, polygon, model, rendering];
  if (!same(shown(next), shown(before))) showSelection();
  if (!same(next.questions, before.questions)) ask.show();
  if (next.survey !== before.survey) void survey.show();
  if (next.tile !== before.tile || next.survey !== before.survey) tile.show();
});

async function start(): Promise<void> {
  startTheme(() => view.drawEarth());
  startKeyboard({ view, selection, plan, tile });
  byId("open").addEventListener("submit", (event) => {
    event.preventDefault();
    const scene = byId<HTMLInputElement>("url").value.trim();
    const { model, questions } = state();
    if (scene === state().scene) void open(state());
    else change({ ...EMPTY, model, questions, scene });
  });
  byId("model").addEventListener("change", () => change({ model: byId<HTMLSelectElement>("model").value }));
  const dialog = byId<HTMLDialogElement>("key-dialog");
  byId("key").addEventListener("click", () => {
    byId("key-reason").textContent = "";
    dialog.showModal();
  });
  window.addEventListener("key-required", (event) => {
    byId("key-reason").textContent = (event as CustomEvent<string>).detail;
    if (!dialog.open) dialog.showModal();
  });
  byId("key-form").addEventListener("submit", () => {
    setApiKey(byId<HTMLInputElement>("key-field").value.trim());
    void begin();
  });
  await begin();
}

/** Load what the gateway knows, then the scene of the link. */
async function begin(): Promise<void> {
  try {
    [config] = await Promise.all([getJson<Config>("console/config.json"), loadModels()]);
    showRecent();
    await open(state());
  } catch (error) {
    if (!isAbort(error)) showError(error);
  }
}

void start();
