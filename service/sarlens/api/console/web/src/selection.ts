// The part of the scene that the model sees: a box or a polygon, drawn, moved, or typed as numbers.
import Draw, { createBox } from "ol/interaction/Draw";
import Translate from "ol/interaction/Translate";
import Collection from "ol/Collection";
import Feature from "ol/Feature";
import { Polygon } from "ol/geom";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { Fill, Stroke, Style } from "ol/style";
import { byId } from "./dom";
import { clamp, windowAround, type Point, type Window } from "./grid";
import { change, state } from "./link";
import type { SceneMap } from "./map";

type Tool = "box" | "polygon";

const HINTS = { box: "Drag a box.", polygon: "Click each corner, then the first again." };

export class Selection {
  private readonly feature = new Feature<Polygon>();
  private readonly source = new VectorSource<Feature<Polygon>>();
  private draw: Draw | undefined;

  constructor(
    private readonly view: SceneMap,
    private readonly onMove: (window: Window) => void,
  ) {
    const layer = new VectorLayer({ source: this.source, zIndex: 30, style: [outline("#000000", 4), outline("#ffffff", 2)] });
    view.map.addLayer(layer);
    const translate = new Translate({ features: new Collection([this.feature]) });
    view.map.addInteraction(translate);
    translate.on("translating", () => {
      const window = this.windowOf(this.ring());
      if (window) this.onMove(window);
    });
    translate.on("translateend", () => this.take(this.ring(), state().polygon ? "polygon" : "box"));
    byId("draw-box").addEventListener("click", () => this.toggle("box"));
    byId("draw-polygon").addEventListener("click", () => this.toggle("polygon"));
    byId("whole").addEventListener("click", () => this.clear());
    byId("window").addEventListener("submit", (event) => {
      event.preventDefault();
      this.takeNumbers();
    });
  }

  get isDrawing(): boolean {
    return this.draw !== undefined;
  }

  /** Show the selection of the link. */
  show(): void {
    const { placement, scene } = this.view;
    const { window, polygon } = state();
    this.source.clear();
    if (!placement || !scene) return;
    const shown = window ?? [0, 0, scene.width, scene.height];
    ["col", "row", "width", "height"].forEach((name, i) => {
      byId<HTMLInputElement>(`window-${name}`).value = String(shown[i]);
    });
    if (!window) return;
    const ring = polygon ? [...polygon, polygon[0] as Point].map((corner) => placement.toMap(corner)) : placement.outline(window);
    this.feature.setGeometry(new Polygon([ring]));
    this.source.addFeature(this.feature);
  }

  toggle(tool: Tool): void {
    const active = byId(`draw-${tool}`).getAttribute("aria-pressed") === "true";
    this.stop();
    if (active || !this.view.scene) return;
    byId(`draw-${tool}`).setAttribute("aria-pressed", "true");
    byId("map").classList.add("drawing");
    byId("tool-hint").textContent = `${HINTS[tool]} Escape stops.`;
    const style = [outline("#000000", 4), outline("#ffffff", 2)];
    this.draw =
      tool === "box"
        ? new Draw({ type: "Circle", geometryFunction: createBox(), freehand: true, style })
        : new Draw({ type: "Polygon", style });
    this.draw.on("drawend", ({ feature }) => {
      const ring = (feature.getGeometry() as Polygon).getCoordinates()[0] ?? [];
      this.stop();
      this.take(ring as Point[], tool);
    });
    this.view.map.addInteraction(this.draw);
  }

  stop(): void {
    if (this.draw) this.view.map.removeInteraction(this.draw);
    this.draw = undefined;
    byId("map").classList.remove("drawing");
    byId("tool-hint").textContent = "";
    for (const tool of ["box", "polygon"]) byId(`draw-${tool}`).setAttribute("aria-pressed", "false");
  }

  clear(): void {
    this.stop();
    change({ window: undefined, polygon: undefined });
  }

  /** Move the box by a share of its size. */
  nudge(across: number, down: number): void {
    const { window, polygon } = state();
    const { scene } = this.view;
    if (!window || polygon || !scene) return;
    const [col, row, width, height] = window;
    const left = clamp(col + Math.round(across * width), 0, scene.width - width);
    const top = clamp(row + Math.round(down * height), 0, scene.height - height);
    change({ window: [left, top, width, height] }, "replace");
  }

  private takeNumbers(): void {
    const { scene } = this.view;
    if (!scene) return;
    const [col = 0, row = 0, width = 1, height = 1] = ["col", "row", "width", "height"].map((name) =>
      Math.round(Number(byId<HTMLInputElement>(`window-${name}`).value)),
    );
    const left = clamp(col, 0, scene.width - 1);
    const top = clamp(row, 0, scene.height - 1);
    const inside: Window = [left, top, clamp(width, 1, scene.width - left), clamp(height, 1, scene.height - top)];
    change({ window: inside, polygon: undefined });
  }

  private ring(): Point[] {
    return (this.feature.getGeometry()?.getCoordinates()[0] ?? []) as Point[];
  }

  private windowOf(ring: Point[]): Window | undefined {
    const { placement, scene } = this.view;
    if (!placement || !scene) return undefined;
    return windowAround(ring.map((corner) => placement.toPixel(corner)), scene.width, scene.height);
  }

  private take(ring: Point[], tool: Tool): void {
    const { placement } = this.view;
    const window = this.windowOf(ring);
    if (!placement || !window) {
      this.show();
      return;
    }
    const corners = ring.slice(0, -1).map((corner) => placement.toPixel(corner).map(Math.round) as Point);
    change({ window, polygon: tool === "polygon" ? corners : undefined });
    this.show();
  }
}

function outline(color: string, width: number): Style {
  return new Style({ stroke: new Stroke({ color, width }), fill: new Fill({ color: "rgba(255,255,255,0.01)" }) });
}
