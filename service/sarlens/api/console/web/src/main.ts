// The console: one page over the API. The link holds the state, and each part shows its own piece of it.
import { getJson, isAbort } from "./api";
import { setApiKey } from "./api_key";
import { Ask } from "./ask";
import { byId, make } from "./dom";
import type { Basemap } from "./earth";
import { hideError, showError } from "./errors";
import { showFirstScreen, showRecent, type Samples } from "./first_screen";
import { startKeyboard } from "./keyboard";
import { change, onChange, state, type State } from "./link";
import { SceneMap } from "./map";
import { Picture } from "./picture";
import { Plan } from "./plan";
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
const picture = new Picture();
const selection = new Selection(view, (window) => view.scene && picture.show(view.scene, window));
const ask = new Ask(view);
const layer = new SurveyLayer(view, (tile) => change({ tile }));
const plan = new Plan(view, layer);
const survey = new Survey(view, layer, plan);
const tile = new TilePanel(view, survey, layer);
let config: Config = { scenes: {}, basemap: null };
let opening: AbortController | undefined;

async function open(next: State): Promise<void> {
  opening?.abort();
  hideError();
  if (next.scene) byId<HTMLInputElement>("url").value = next.scene;
  showFirstScreen(config.scenes);
  if (!next.scene) {
    for (const id of ["facts", "look", "ask", "plan", "tile"]) byId(id).hidden = true;
    view.clear();
    document.title = "Sarlens";
    return;
  }
  opening = new AbortController();
  document.body.classList.add("busy");
  try {
    const scene = await fetchScene(next.scene, opening.signal);
    view.show(scene, next.bands, config.basemap, state().view);
    byId("facts-title").textContent = document.title = fileName(scene.url);
    byId("facts-list").replaceChildren(...factsOf(scene).map((fact) => make("li", {}, fact)));
    for (const id of ["facts", "look", "ask"]) byId(id).hidden = false;
    byId("plan").hidden = scene.mesh === null;
    showRecent(next.scene);
    ask.clear();
    plan.reset();
    showSelection();
    void plan.load();
    await survey.show();
    tile.show();
  } catch (error) {
    if (!isAbort(error)) showError(error);
  } finally {
    document.body.classList.remove("busy");
  }
}

function showSelection(): void {
  if (!view.scene) return;
  selection.show();
  picture.show(view.scene, state().window);
  ask.show();
  plan.show();
}

async function loadModels(): Promise<void> {
  const { data } = await getJson<{ data: { id: string }[] }>("v1/models");
  const menu = byId<HTMLSelectElement>("model");
  menu.replaceChildren(...data.map(({ id }) => make("option", { value: id }, id)));
  if (!state().model && data[0]) change({ model: data[0].id }, "replace");
  menu.value = state().model;
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

onChange((next, before) => {
  if (next.scene !== before.scene) {
    void open(next);
    return;
  }
  if (next.model !== before.model) {
    byId<HTMLSelectElement>("model").value = next.model;
    plan.reset();
    void plan.load();
  }
  if (!same([next.window, next.polygon, next.model], [before.window, before.polygon, before.model])) showSelection();
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
    const nothing = { window: undefined, polygon: undefined, view: undefined, survey: "", tile: undefined };
    if (scene === state().scene) void open(state());
    else change({ scene, ...nothing });
  });
  byId("model").addEventListener("change", () => change({ model: byId<HTMLSelectElement>("model").value }));
  const dialog = byId<HTMLDialogElement>("key-dialog");
  byId("key").addEventListener("click", () => dialog.showModal());
  window.addEventListener("key-required", () => {
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
    config = await getJson<Config>("console/config.json");
    await loadModels();
    showRecent();
    await open(state());
  } catch (error) {
    if (!isAbort(error)) showError(error);
  }
}

void start();
