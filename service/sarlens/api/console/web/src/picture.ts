// The picture that the model gets, its reduction, and the tile that would be right.
import { apiUrl, isAbort, send } from "./api";
import { byId, debounce, make } from "./dom";
import { showError } from "./errors";
import { centered, reduction, type Window } from "./grid";
import { change, state } from "./link";
import { bandName, type Scene } from "./scene";

const DELAY_MS = 200;

/** The query of the window in a request for a picture. */
export function pictureUrl(scene: Scene, window: Window | undefined): string {
  const { model, bands } = state();
  return apiUrl("v1/sar/picture", { url: scene.url, model, bands, window: window?.join(",") });
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
  private scene: Scene | undefined;
  private window: Window | undefined;
  private running: AbortController | undefined;
  private readonly later = debounce(() => void this.load(), DELAY_MS);

  /** Show the picture of a window, or of the whole scene; while the box moves, at its latest position only. */
  show(scene: Scene, window: Window | undefined): void {
    this.scene = scene;
    this.window = window;
    this.running?.abort();
    this.showReduction();
    byId("picture").classList.add("stale");
    this.later();
  }

  private async load(): Promise<void> {
    const { scene } = this;
    if (!scene) return;
    const running = new AbortController();
    this.running = running;
    const image = byId<HTMLImageElement>("picture-image");
    try {
      const radiometry = await loadPicture(image, pictureUrl(scene, this.window), running.signal);
      if (running.signal.aborted) return;
      image.hidden = false;
      const [, , width, height] = this.window ?? [0, 0, scene.width, scene.height];
      image.alt = `Radar picture of ${width} by ${height} pixels, as the model sees it`;
      const bands = bandName(state().bands || scene.polarizations[0] || scene.bands[0] || "");
      byId("picture-text").textContent = [bands, radiometry === "relative" ? "relative power" : radiometry]
        .concat(`${image.naturalWidth} × ${image.naturalHeight} px`)
        .join(" · ");
      byId("picture").classList.remove("stale");
    } catch (error) {
      if (!isAbort(error)) showError(error);
    }
  }

  private showReduction(): void {
    const { scene } = this;
    if (!scene) return;
    const window: Window = this.window ?? [0, 0, scene.width, scene.height];
    const size = scene.tile[state().model];
    const place = byId("reduction");
    const label = byId("selection-label");
    const text = `${window[2]} × ${window[3]} px`;
    if (!size) {
      place.replaceChildren(text);
      return;
    }
    const factor = reduction(window, size);
    const shown = `1 : ${Number(factor.toFixed(2))}`;
    place.classList.toggle("warning", factor > 1);
    label.hidden = this.window === undefined;
    label.textContent = `${text} · seen at ${shown}${factor > 1 ? " ⚠" : ""}`;
    if (factor === 1) {
      place.replaceChildren(`${text}, seen at ${shown}`);
      return;
    }
    const right = make("button", { type: "button", click: () => this.shrink(window, size) }, `Use ${size} × ${size} px`);
    place.replaceChildren(`⚠ ${text} are seen at ${shown}: small objects can disappear. `, right);
  }

  private shrink(window: Window, size: number): void {
    if (this.scene) change({ window: centered(window, size, this.scene.width, this.scene.height), polygon: undefined });
  }
}
