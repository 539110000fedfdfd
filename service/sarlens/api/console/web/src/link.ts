// The state of the page is its link: scene, view, window, questions, survey. It is behind the #, so no log has it.
import type { Window } from "./grid";
import { NO_RENDERING, RENDER_FIELDS, type Rendering } from "./rendering";

export interface State {
  scene: string;
  model: string;
  rendering: Rendering;
  window: Window | undefined;
  /** Corners in pixels, without the first again. */
  polygon: [number, number][] | undefined;
  /** Center in coordinates of the map, and its resolution. */
  view: [number, number, number] | undefined;
  questions: string[];
  survey: string;
  tile: number | undefined;
}

/** The state of the first screen. */
export const EMPTY: State = {
  scene: "",
  model: "",
  rendering: NO_RENDERING,
  window: undefined,
  polygon: undefined,
  view: undefined,
  questions: [],
  survey: "",
  tile: undefined,
};

type Listener = (state: State, before: State) => void;
const listeners: Listener[] = [];
let current = parse(location.hash);

export function state(): State {
  return current;
}

/** Call `listener` after each change of the state, also after Back and Forward. */
export function onChange(listener: Listener): void {
  listeners.push(listener);
}

/** Change the state. `replace` leaves no step for Back. */
export function change(patch: Partial<State>, how: "push" | "replace" = "push"): void {
  const next = { ...current, ...patch };
  const link = format(next);
  if (link === format(current)) return;
  if (how === "push") history.pushState(null, "", link);
  else history.replaceState(null, "", link);
  tell(next);
}

window.addEventListener("popstate", () => tell(parse(location.hash)));

function tell(next: State): void {
  const before = current;
  current = next;
  for (const listener of listeners) listener(next, before);
}

export function format(value: State): string {
  const fields = new URLSearchParams();
  if (value.scene) fields.set("scene", value.scene);
  if (value.model) fields.set("model", value.model);
  for (const name of RENDER_FIELDS) if (value.rendering[name]) fields.set(name, value.rendering[name]);
  if (value.window) fields.set("window", value.window.join(","));
  if (value.polygon) fields.set("polygon", value.polygon.flat().map(Math.round).join(","));
  if (value.view) fields.set("view", value.view.map((number) => Number(number.toPrecision(8))).join(","));
  for (const question of value.questions) fields.append("q", question);
  if (value.survey) fields.set("survey", value.survey);
  if (value.tile !== undefined) fields.set("tile", String(value.tile));
  return `#${fields.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}

export function parse(hash: string): State {
  const fields = new URLSearchParams(hash.slice(1));
  const window = numbers(fields.get("window"));
  const polygon = numbers(fields.get("polygon"));
  const view = numbers(fields.get("view"));
  const tile = numbers(fields.get("tile"));
  return {
    ...EMPTY,
    scene: fields.get("scene") ?? "",
    model: fields.get("model") ?? "",
    rendering: Object.fromEntries(RENDER_FIELDS.map((name) => [name, fields.get(name) ?? ""])) as Rendering,
    window: window?.length === 4 ? (window as Window) : undefined,
    polygon: polygon && polygon.length >= 6 ? pairs(polygon) : undefined,
    view: view?.length === 3 ? (view as [number, number, number]) : undefined,
    questions: fields.getAll("q").slice(0, 16),
    survey: /^[\w-]{1,80}$/.test(fields.get("survey") ?? "") ? (fields.get("survey") ?? "") : "",
    tile: tile?.[0],
  };
}

function numbers(text: string | null): number[] | undefined {
  const values = text?.split(",").map(Number);
  return values?.every(Number.isFinite) ? values : undefined;
}

function pairs(values: number[]): [number, number][] {
  return values.slice(0, values.length & ~1).flatMap((x, i) => (i % 2 ? [] : [[x, values[i + 1] ?? 0] as [number, number]]));
}
