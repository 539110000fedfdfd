// How pixels become the picture, in the terms of the API. An empty field is the gateway's default.
import { byId, make } from "./dom";
import { bandName, defaultBand, type Scene } from "./scene";

export const RENDER_FIELDS = ["bands", "swath", "filter", "calibration", "stretch", "orient"] as const;
export type Rendering = Record<(typeof RENDER_FIELDS)[number], string>;
export const NO_RENDERING: Rendering = { bands: "", swath: "", filter: "", calibration: "", stretch: "", orient: "" };

const FILTERS = { "": "refined Lee", lee: "Lee", frost: "Frost", gamma_map: "Gamma MAP", none: "no filter" };
const STRETCHES = { "": "2–98 %", "5,95": "5–95 %", "1,99": "1–99 %", "0,100": "0–100 %" };
const CALIBRATIONS = { "": "relative power", sigma0: "sigma0", beta0: "beta0", gamma0: "gamma0" };
const ORIENTATIONS = { "": "as stored", north: "north up" };

type Choices = Record<string, string>;

/** The parameters of a scene's tiles. They have the map's orientation. */
export function tileParams(rendering: Rendering, scene: Scene): Partial<Rendering> {
  const { bands, filter, calibration, stretch } = rendering;
  return { bands, filter, calibration, stretch, swath: swathOf(rendering, scene) };
}

/** The parameters of a picture. */
export function pictureParams(rendering: Rendering, scene: Scene): Partial<Rendering> {
  return { ...tileParams(rendering, scene), orient: rendering.orient };
}

/** The same as members of `sar` in a request. */
export function renderMembers(rendering: Rendering, scene: Scene): Record<string, unknown> {
  const members: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(pictureParams(rendering, scene))) {
    if (!value) continue;
    const list = value.split(",").map((item) => (/^\d+$/.test(item) ? Number(item) : item));
    members[name] = name === "bands" || name === "stretch" ? list : value;
  }
  return members;
}

/** A product of several swaths needs one. */
function swathOf(rendering: Rendering, scene: Scene): string {
  return rendering.swath || (scene.swaths.length > 1 ? (scene.swath ?? "") : "");
}

/** The caption of a picture: bands, and what was done to them. */
export function caption(rendering: Rendering, scene: Scene, radiometry: string): string {
  const bands = (rendering.bands || defaultBand(scene)).split(",").map(bandName).join(", ");
  if (scene.data_type === "uint8") return `${bands} · 8-bit image, as stored`;
  const power = radiometry === "relative" ? "relative power" : radiometry;
  return [bands, nameOf(FILTERS, rendering.filter), nameOf(STRETCHES, rendering.stretch), power].join(" · ");
}

function nameOf(choices: Choices, value: string): string {
  return choices[value] ?? value;
}

/** Bands alone, and the composites that the gateway makes of two or three. */
function bandChoices(scene: Scene): Choices {
  const fallback = defaultBand(scene);
  const others = scene.bands.filter((band) => band !== fallback).slice(0, 14);
  const choices: Choices = { "": bandName(fallback) };
  for (const band of others) choices[band] = bandName(band);
  const all = [fallback, ...others].slice(0, 3);
  if (all.length > 1) choices[all.slice(0, 2).join(",")] = `${all.slice(0, 2).map(bandName).join(", ")} and ratio (color)`;
  if (all.length > 2) choices[all.join(",")] = `${all.map(bandName).join(", ")} (color)`;
  return choices;
}

/** The menus of the panel. `onChange` gets the field that was changed. */
export class RenderingMenus {
  constructor(onChange: (field: keyof Rendering, value: string) => void) {
    for (const name of RENDER_FIELDS) {
      const menu = byId<HTMLSelectElement>(`render-${name}`);
      menu.addEventListener("change", () => onChange(name, menu.value));
    }
  }

  /** Show the choices that the scene has. An 8-bit image is shown as stored. */
  show(scene: Scene, rendering: Rendering): void {
    const isMeasurement = scene.data_type !== "uint8";
    const swaths = Object.fromEntries(scene.swaths.map((swath) => [swath === scene.swaths[0] ? "" : swath, swath]));
    const calibrations = Object.entries(CALIBRATIONS).filter(([name]) => !name || scene.calibrations.includes(name));
    this.fill("bands", rendering, bandChoices(scene));
    this.fill("swath", rendering, swaths);
    this.fill("filter", rendering, isMeasurement ? FILTERS : {});
    this.fill("stretch", rendering, isMeasurement ? STRETCHES : {});
    this.fill("calibration", rendering, isMeasurement ? Object.fromEntries(calibrations) : {});
    this.fill("orient", rendering, scene.mesh ? ORIENTATIONS : {});
    byId("render-details").hidden = RENDER_FIELDS.every((name) => byId(`render-${name}-label`).hidden);
  }

  private fill(name: keyof Rendering, rendering: Rendering, choices: Choices): void {
    const value = rendering[name];
    const all = value in choices ? choices : { ...choices, [value]: value };
    const menu = byId<HTMLSelectElement>(`render-${name}`);
    menu.replaceChildren(...Object.entries(all).map(([key, text]) => make("option", { value: key }, text)));
    menu.value = value;
    byId(`render-${name}-label`).hidden = menu.options.length < 2;
  }
}
