// Before a survey: its grid on the map, the number of tiles, the time that it takes, and the quota.
import { getJson } from "./api";
import { apiKey } from "./api_key";
import { byId, debounce } from "./dom";
import { countTiles, reduction, tilesOf, touches, type Window } from "./grid";
import { secondsPerTile } from "./job";
import { state } from "./link";
import type { SceneMap } from "./map";
import type { SurveyLayer } from "./survey_layer";

const MAX_DRAWN = 20_000;

interface Usage {
  rate_limits?: { requests_per_minute: { limit: number; remaining: number } | null };
}

export class Plan {
  private perTile: number | undefined;
  private quota = "";
  isShown = false;
  private readonly later = debounce(() => this.show(), 100);

  constructor(
    private readonly view: SceneMap,
    private readonly layer: SurveyLayer,
  ) {
    for (const name of ["tile", "overlap"]) byId(`plan-${name}`).addEventListener("input", this.later);
    byId("plan-preview").addEventListener("click", () => this.toggle());
  }

  get tile(): number {
    return Math.round(Number(byId<HTMLInputElement>("plan-tile").value)) || 0;
  }

  get overlap(): number {
    return Math.round(Number(byId<HTMLInputElement>("plan-overlap").value)) || 0;
  }

  /** Set the tile to what the model sees. */
  reset(): void {
    const size = this.view.scene?.tile[state().model];
    byId<HTMLInputElement>("plan-tile").value = String(size ?? 448);
    byId<HTMLInputElement>("plan-overlap").value = "0";
  }

  toggle(): void {
    this.isShown = !this.isShown;
    byId("plan-preview").setAttribute("aria-pressed", String(this.isShown));
    this.show();
  }

  /** Learn the time of a tile and the quota from the gateway. */
  async load(): Promise<void> {
    try {
      this.perTile = await secondsPerTile(state().model);
      const usage = apiKey() ? await getJson<Usage>("v1/usage") : {};
      const quota = usage.rate_limits?.requests_per_minute;
      this.quota = quota ? `, ${quota.remaining} of ${quota.limit} requests left this minute` : "";
    } finally {
      this.show();
    }
  }

  /** Show the numbers, and the grid if it is wanted. */
  show(): void {
    const { scene } = this.view;
    if (!scene || this.tile < 64 || 2 * this.overlap > this.tile) return;
    const { window, polygon, model } = state();
    const area: Window = window ?? [0, 0, scene.width, scene.height];
    const all = countTiles(area, scene.width, scene.height, this.tile, this.overlap);
    const canDraw = all <= MAX_DRAWN;
    let tiles = canDraw ? tilesOf(area, scene.width, scene.height, this.tile, this.overlap) : [];
    if (polygon) tiles = tiles.filter((tile) => touches(tile, polygon));
    const count = canDraw ? tiles.length : all;
    const size = scene.tile[model];
    const factor = size ? reduction([0, 0, this.tile, this.tile], size) : 1;
    const warning = factor > 1 ? ` ⚠ The model sees tiles of ${this.tile} px at 1 : ${Number(factor.toFixed(2))}.` : "";
    const time = this.perTile === undefined ? "" : `, about ${duration(this.perTile * count)}`;
    byId("plan-text").textContent = `${polygon && !canDraw ? "up to " : ""}${count} ${count === 1 ? "tile" : "tiles"} of ${this.tile} px${time}${this.quota}.${warning}`;
    byId("plan-text").classList.toggle("warning", factor > 1);
    this.layer.showPlan(this.isShown && canDraw ? tiles : []);
  }
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
