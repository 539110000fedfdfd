// What is below and above a scene: coastline, graticule, and the basemap of the settings.
import TileLayer from "ol/layer/Tile";
import VectorLayer from "ol/layer/Vector";
import Graticule from "ol/layer/Graticule";
import Feature from "ol/Feature";
import type { Coordinate } from "ol/coordinate";
import { getCenter } from "ol/extent";
import { LineString, Point, Polygon } from "ol/geom";
import VectorSource from "ol/source/Vector";
import XYZ from "ol/source/XYZ";
import { Fill, Stroke, Style, Text } from "ol/style";
import type BaseLayer from "ol/layer/Base";
import { fromLonLat, toLonLat, type Projection } from "ol/proj";
import type { Geometry } from "geojson";
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import { apiUrl } from "./api";
import { color } from "./theme";

export interface Basemap {
  url: string;
  attribution: string;
}

type Land = Topology<{ land: GeometryCollection }>;
let land: Promise<Land> | undefined;

function fetchLand(): Promise<Land> {
  land ??= fetch(apiUrl("console/land-110m.json")).then((response) => response.json() as Promise<Land>);
  return land;
}

/** The layers of the earth in a projection of maps. */
export function earthLayers(projection: Projection, basemap: Basemap | null): BaseLayer[] {
  const isMercator = projection.getCode() === "EPSG:3857";
  if (!isMercator) return [coastline(projection, projection.getCode() === "EPSG:5041"), polarGraticule(projection)];
  const ground = basemap
    ? new TileLayer({ source: new XYZ({ url: basemap.url, attributions: basemap.attribution }) })
    : coastline(projection);
  const graticule = new Graticule({
    strokeStyle: new Stroke({ color: color("graticule"), width: 1 }),
    showLabels: true,
    wrapX: true,
    lonLabelStyle: labelStyle("bottom"),
    latLabelStyle: labelStyle("middle"),
  });
  return [ground, graticule];
}

function labelStyle(baseline: CanvasTextBaseline, text?: string): Text {
  return new Text({
    ...(text === undefined ? {} : { text }),
    font: "11px system-ui, sans-serif",
    textBaseline: baseline,
    textAlign: baseline === "middle" ? "end" : "center",
    fill: new Fill({ color: color("label") }),
    stroke: new Stroke({ color: color("halo"), width: 3 }),
  });
}

/** Land. Around a pole, without the land at the other one, which would surround the map. */
function coastline(projection: Projection, isArctic?: boolean): VectorLayer {
  const source = new VectorSource({ wrapX: isArctic === undefined });
  void fetchLand().then((topology) => {
    const { features } = feature(topology, topology.objects.land);
    for (const polygon of features.flatMap(({ geometry }) => polygonsOf(geometry))) {
      const isOpposite = polygon[0]?.every(([, latitude]) => (isArctic ? latitude < -60 : latitude > 60));
      if (isArctic !== undefined && isOpposite) continue;
      const rings = isArctic === undefined ? polygon.map(unwrapped) : polygon;
      source.addFeature(new Feature(new Polygon(rings.map((ring) => ring.map((at) => fromLonLat(at, projection))))));
    }
  });
  const stroke = new Stroke({ color: color("coast"), width: 1 });
  return new VectorLayer({ source, style: new Style({ stroke, fill: new Fill({ color: color("land") }) }) });
}

type Ring = [number, number][];

function polygonsOf(geometry: Geometry): Ring[][] {
  if (geometry.type === "Polygon") return [geometry.coordinates as Ring[]];
  return geometry.type === "MultiPolygon" ? (geometry.coordinates as Ring[][]) : [];
}

/** A ring without jumps at the antimeridian. One around a pole is closed along the edge of the map. */
function unwrapped(ring: Ring): Ring {
  let turn = 0;
  const path = ring.map(([longitude, latitude], i): [number, number] => {
    const before = ring[i - 1]?.[0] ?? longitude;
    turn += 360 * Math.round((before - longitude) / 360);
    return [longitude + turn, latitude];
  });
  const [first, last] = [path[0], path.at(-1)];
  if (!first || !last || Math.abs(first[0] - last[0]) < 180) return path;
  const edge = Math.sign(first[1]) * 85;
  return [...path, [last[0], edge], [first[0], edge], first];
}

const STEPS = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05];
const SPACING_PX = 110;
const METERS_PER_DEGREE = 111_000;
const MAX_LINES = 36;

/** Meridians and parallels around a pole, as far apart as the view needs. */
function polarGraticule(projection: Projection): VectorLayer {
  const place = (longitude: number, latitude: number): Coordinate => fromLonLat([longitude, latitude], projection);
  let shown = "";
  const source = new VectorSource({
    strategy: (extent, resolution) => {
      const [longitude, latitude] = toLonLat(getCenter(extent), projection) as [number, number];
      const sign = Math.sign(latitude) || 1;
      const degrees = (SPACING_PX * resolution) / METERS_PER_DEGREE;
      const step = STEPS.filter((one) => one >= degrees).at(-1) ?? 30;
      // Away from the pole, meridians as dense as parallels; around it, a star.
      const across = degrees / Math.cos((Math.PI * latitude) / 180);
      const meridian = STEPS.filter((one) => one >= across).at(-1) ?? 30;
      const middle = [longitude, latitude].map((value) => Math.round(value / 10 / step)).join();
      const key = [step, meridian, middle].join();
      if (key === shown) return [];
      shown = key;
      source.clear(true);
      const around = Math.max(60, Math.abs(latitude) - MAX_LINES * step);
      for (let at = 90 - step; at >= around; at -= step) {
        const parallel = Array.from({ length: 361 }, (_, i) => place(i, sign * at));
        source.addFeature(line(parallel));
        for (const turn of [0, 90, 180, 270]) source.addFeature(named(place(longitude + turn, sign * at), degreesText(at, sign > 0 ? "N" : "S")));
      }
      for (let i = -MAX_LINES; i <= MAX_LINES; i++) {
        const at = meridian * (Math.round(longitude / meridian) + i);
        if (Math.abs(at - longitude) > 180) continue;
        source.addFeature(line([place(at, sign * (90 - step)), place(at, sign * 60)]));
        const wrapped = ((((at + 180) % 360) + 360) % 360) - 180;
        source.addFeature(named(place(at, latitude - 0.37 * sign * step), degreesText(Math.abs(wrapped), wrapped < 0 ? "W" : "E")));
      }
      return [];
    },
  });
  const stroke = new Style({ stroke: new Stroke({ color: color("graticule"), width: 1 }) });
  return new VectorLayer({
    source,
    declutter: true,
    style: (one) => {
      const text = one.get("text") as string | undefined;
      return text === undefined ? stroke : new Style({ text: labelStyle("bottom", text) });
    },
  });
}

function line(path: Coordinate[]): Feature {
  return new Feature(new LineString(path));
}

function named(at: Coordinate, text: string): Feature {
  const place: Feature = new Feature(new Point(at));
  place.set("text", text, true);
  return place;
}

function degreesText(value: number, side: string): string {
  return `${Number(value.toFixed(2))}° ${side}`;
}
