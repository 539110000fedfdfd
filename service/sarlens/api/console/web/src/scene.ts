// What the gateway knows about a scene.
import type { Feature } from "geojson";
import { getJson } from "./api";

/** Longitudes and latitudes at crossings of columns and rows: what a map needs to know about any georeference. */
export interface Mesh {
  cols: number[];
  rows: number[];
  /** For each row, [longitude, latitude] at each column. */
  lonlat: [number, number][][];
}

export interface Scene {
  url: string;
  width: number;
  height: number;
  bands: string[];
  polarizations: string[];
  /** Type of a stored number, such as uint16. */
  data_type: string;
  swath: string | null;
  swaths: string[];
  calibrations: string[];
  crs: string | null;
  footprint: Feature["geometry"] | null;
  mesh: Mesh | null;
  pixel_size_m: number | [number, number] | null;
  acquisition: { time?: string; orbit_direction?: string; mode?: string; looks?: number[] } | null;
  tile: Record<string, number>;
  tile_matrix_sets: string[];
  /** By the id of a tile matrix set. */
  min_zoom: Record<string, number>;
  max_zoom: Record<string, number>;
}

export function fetchScene(url: string, swath: string, signal?: AbortSignal): Promise<Scene> {
  return getJson<Scene>("v1/sar/scene", { url, swath }, signal);
}

export function fileName(url: string): string {
  const path = url.split(/[?#]/)[0] ?? url;
  const parts = path.split("/").filter(Boolean);
  const last = parts.at(-1) ?? url;
  return last === "manifest.safe" ? (parts.at(-2) ?? last) : decodeURIComponent(last);
}

/** A band without a name has its number. */
export function bandName(band: string): string {
  return /^\d+$/.test(band) ? `band ${band}` : band;
}

/** The band that the gateway takes if a request names none. */
export function defaultBand(scene: Scene): string {
  return ["VV", "HH"].find((band) => scene.bands.includes(band)) ?? scene.bands[0] ?? "";
}

/** Short facts in the order of the panel. */
export function factsOf(scene: Scene): string[] {
  const size = `${scene.width} × ${scene.height} px`;
  const step = scene.pixel_size_m;
  const sides = new Set([step ?? []].flat().map((side) => Number(side.toPrecision(3))));
  const meters = sides.size ? ` · ${[...sides].join(" × ")} m` : "";
  const bands = (scene.polarizations.length ? scene.polarizations : scene.bands.map(bandName)).join(", ");
  const acquired = scene.acquisition ?? {};
  const taken = [acquired.time?.slice(0, 16).replace("T", " "), acquired.mode, acquired.orbit_direction];
  const where = scene.crs ?? "not georeferenced: positions are pixels";
  return [`${size}${meters} · ${bands}`, [where, ...taken].filter(Boolean).join(" · ")];
}
