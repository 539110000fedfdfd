// Tiles of a survey on the map: color and shape by answer, and a frame around the chosen one.
import Feature from "ol/Feature";
import { Point as PointGeometry, Polygon } from "ol/geom";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import { Circle, Fill, RegularShape, Stroke, Style, Text } from "ol/style";
import type { Window } from "./grid";
import type { FoundObject, TileAnswer } from "./job";
import type { SceneMap } from "./map";
import { NO, YES, cividis } from "./ramp";
import { color } from "./theme";

export interface Look {
  /** Which answer of a tile is shown; undefined hides the tile. */
  answer: (tile: number) => TileAnswer | undefined;
  by: "value" | "confidence";
  highest: number;
}

export class SurveyLayer {
  private readonly plan = new VectorSource<Feature<Polygon>>();
  private readonly source = new VectorSource<Feature<Polygon>>();
  private readonly objects = new VectorSource<Feature<PointGeometry>>();
  private readonly tiles = new Map<number, Feature<Polygon>>();
  private readonly layer: VectorLayer;
  private look: Look = { answer: () => undefined, by: "value", highest: 1 };
  private chosen: number | undefined;

  constructor(
    private readonly view: SceneMap,
    onClick: (tile: number) => void,
  ) {
    const grid = (): Style => new Style({ stroke: new Stroke({ color: color("grid"), width: 1, lineDash: [4, 3] }) });
    view.map.addLayer(new VectorLayer({ source: this.plan, zIndex: 10, style: grid }));
    this.layer = new VectorLayer({ source: this.source, zIndex: 20, style: (feature) => this.styles(feature as Feature<Polygon>) });
    view.map.addLayer(this.layer);
    view.map.addLayer(new VectorLayer({ source: this.objects, zIndex: 25, style: (feature) => objectStyle(feature.get("text") as string), declutter: true }));
    view.map.on("singleclick", ({ pixel }) => {
      const options = { layerFilter: (layer: unknown) => layer === this.layer };
      const tile = view.map.forEachFeatureAtPixel(pixel, (feature) => feature.get("tile") as number, options);
      if (tile !== undefined) onClick(tile);
    });
  }

  showPlan(tiles: Window[]): void {
    const { placement } = this.view;
    this.plan.clear(true);
    if (placement) this.plan.addFeatures(tiles.map((tile) => new Feature(new Polygon([placement.outline(tile, 1)]))));
  }

  /** Show objects as points with class and score. */
  showObjects(found: FoundObject[]): void {
    const { placement } = this.view;
    this.objects.clear(true);
    if (!placement) return;
    for (const { center, name, score } of found) {
      const feature = new Feature(new PointGeometry(placement.toMap(center)));
      feature.set("text", score === null ? name : `${name} ${score.toFixed(2)}`, true);
      this.objects.addFeature(feature);
    }
  }

  clear(): void {
    this.source.clear(true);
    this.objects.clear(true);
    this.tiles.clear();
    this.chosen = undefined;
  }

  add(answer: TileAnswer): void {
    const { placement } = this.view;
    if (!placement || this.tiles.has(answer.tile)) return;
    const feature = new Feature(new Polygon([placement.outline(answer.window, 2)]));
    feature.set("tile", answer.tile, true);
    this.tiles.set(answer.tile, feature);
    this.source.addFeature(feature);
  }

  restyle(look: Look): void {
    this.look = look;
    this.layer.changed();
  }

  choose(tile: number | undefined): void {
    this.chosen = tile;
    this.layer.changed();
  }

  private styles(feature: Feature<Polygon>): Style[] {
    const tile = feature.get("tile") as number;
    const answer = this.look.answer(tile);
    if (!answer) return [];
    const styles = this.answerStyles(answer, feature);
    if (tile === this.chosen) styles.push(new Style({ stroke: new Stroke({ color: color("chosen"), width: 3 }), zIndex: 9 }));
    return styles;
  }

  private answerStyles(answer: TileAnswer, feature: Feature<Polygon>): Style[] {
    const center = (): PointGeometry => feature.getGeometry()?.getInteriorPoint() ?? new PointGeometry([0, 0]);
    if (answer.error) {
      const stroke = new Stroke({ color: color("failed"), width: 2, lineDash: [6, 4] });
      return [new Style({ stroke }), new Style({ geometry: center, text: label("!", color("failed")) })];
    }
    if (this.look.by === "confidence") return [area(answer.confidence ?? 0)];
    if (typeof answer.value === "boolean") {
      return [area(answer.value ? 1 : 0.35, answer.value ? 0.3 : 0.08), new Style({ geometry: center, image: shape(answer.value) })];
    }
    if (typeof answer.value === "number") {
      const share = answer.value / Math.max(1, this.look.highest);
      const styles = [area(share, answer.value === 0 ? 0.12 : 0.5)];
      if (answer.value > 0) styles.push(new Style({ geometry: center, text: label(String(answer.value), "#ffffff") }));
      return styles;
    }
    return [area(0.6, 0.2), new Style({ geometry: center, text: label(answer.text.slice(0, 18), "#ffffff") })];
  }
}

function area(value: number, alpha = 0.5): Style {
  return new Style({
    fill: new Fill({ color: cividis(value, alpha) }),
    stroke: new Stroke({ color: cividis(value, 0.9), width: 1 }),
  });
}

function objectStyle(text: string): Style {
  const image = new Circle({ radius: 6, stroke: new Stroke({ color: "#000000", width: 1.5 }), fill: new Fill({ color: YES }) });
  const named = label(text, "#ffffff");
  named.setOffsetX(12);
  named.setTextAlign("left");
  return new Style({ image, text: named });
}

/** Yes is a full circle, no is a cross: they differ without color. */
function shape(value: boolean): Circle | RegularShape {
  if (value) return new Circle({ radius: 7, fill: new Fill({ color: YES }), stroke: new Stroke({ color: "#000000", width: 1.5 }) });
  return new RegularShape({ points: 4, radius: 6, radius2: 0, angle: Math.PI / 4, stroke: new Stroke({ color: NO, width: 2 }) });
}

function label(text: string, fill: string): Text {
  const stroke = new Stroke({ color: "#000000", width: 3 });
  return new Text({ text, font: "600 13px system-ui, sans-serif", fill: new Fill({ color: fill }), stroke, overflow: true });
}
