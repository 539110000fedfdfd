// The picture that the model gets, its reduction, and the tile that would be right.
import { apiUrl, isAbort, send } from "./api";
import { byId, debounce, make } from "./dom";
import { showError } from "./errors";
import { centered, reduction, type Window } from "./grid";
import { change, state } from "./link";
import type { SceneMap } from "./map";
import { caption, pictureParams } from "./rendering";
import type { Scene } from "./scene";

const DELAY_MS = 200;

/** The URL of the picture that the model gets of a window, or of the rectangle around a polygon. */
export function pictureUrl(scene: Scene, window: Window | undefined, polygon?: object): string {
  const { model, rendering } = state();
  const part = polygon ? { polygon: JSON.stringify(polygon) } : { window: window?.join(",") };
  return apiUrl("v1/sar/picture", { url: scene.url, model, ...pictureParams(rendering, scene), ...part });
}

/** Load a picture into an image element; returns the name of its radiometry. */
export async function loadPicture(image: HTMLImageElement, url: string, signal: AbortSignal): Promise<string> {
  const response = await send(url, { signal });
  const source = URL.createObjectURL(await response.blob());
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.src = source;
  await image.decode();
  return response.headers.get("Sarlens-Radiometry") ?? "relative";
}

export class Picture {
  private window: Window | undefined;
  /** Whether the box moves, so that it isn't yet the selection of the link. */
  private isMoving = false;
  private running: AbortController | undefined;
  private readonly later = debounce(() => void this.load(), DELAY_MS);

  constructor(private readonly view: SceneMap) {}

  /** Show no picture, while another scene opens. */
  clear(): void {
    this.running?.abort();
    byId("picture").classList.add("stale");
    byId("picture-image").hidden = byId("picture-north").hidden = true;
  }

  /** Show the picture of the selection, or of the whole scene. */
  show(): void {
    this.isMoving = false;
    this.prepare(state().window);
    void this.load();
  }

  /** While the box moves, show the picture at its latest position only. */
  follow(window: Window): void {
    this.isMoving = true;
    this.prepare(window);
    this.later();
  }

  private prepare(window: Window | undefined): void {
    this.window = window;
    this.running?.abort();
    this.showReduction();
    byId("picture").classList.add("stale");
  }

  private async load(): Promise<void> {
    const { scene, placement } = this.view;
    if (!scene || !placement) return;
    const { rendering, polygon } = state();
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    const image = byId<HTMLImageElement>("picture-image");
    const area = polygon && !this.isMoving ? placement.toGeoJson(polygon) : undefined;
    try {
      const radiometry = await loadPicture(image, pictureUrl(scene, this.window, area), running.signal);
      if (running.signal.aborted) return;
      image.hidden = false;
      const [col, row, width, height] = this.window ?? [0, 0, scene.width, scene.height];
      image.alt = `Radar picture of ${width} by ${height} pixels, as the model sees it`;
      byId("picture-text").textContent = caption(rendering, scene, radiometry);
      this.showNorth(placement.northAt([col + width / 2, row + height / 2]));
      byId("picture").classList.remove("stale");
    } catch (error) {
      if (!isAbort(error)) showError(error);
    }
  }

  /** Turn the arrow to north, unless north is unknown or up. */
  private showNorth(angle: number | undefined): void {
    const arrow = byId("picture-north");
    arrow.hidden = angle === undefined || state().rendering.orient === "north";
    arrow.style.rotate = `${angle ?? 0}deg`;
  }

  private showReduction(): void {
    const { scene } = this.view;
    if (!scene) return;
    const window: Window = this.window ?? [0, 0, scene.width, scene.height];
    const size = scene.tile[state().model];
    const place = byId("reduction");
    const label = byId("selection-label");
    const text = `${window[2]} × ${window[3]} px`;
    const around = state().polygon ? ", the rectangle around the polygon" : "";
    const factor = size ? reduction(window, size) : 1;
    const shown = `1\u00a0:\u00a0${Number(factor.toFixed(2))}`;
    place.classList.toggle("warning", factor > 1);
    label.hidden = this.window === undefined || !size;
    label.textContent = `${text} · seen at ${shown}${factor > 1 ? " ⚠" : ""}`;
    if (!size || factor === 1) {
      place.replaceChildren(`${text}${around}${size ? `, seen at ${shown}` : ""}`);
      return;
    }
    const right = make("button", { type: "button", click: () => this.shrink(window, size) }, `Use ${size} × ${size} px`);
    place.replaceChildren(`⚠ ${text}${around} are seen at ${shown}: small objects can disappear. `, right);
  }

  private shrink(window: Window, size: number): void {
    const { scene } = this.view;
    if (scene) change({ window: centered(window, size, scene.width, scene.height), polygon: undefined });
  }
}
