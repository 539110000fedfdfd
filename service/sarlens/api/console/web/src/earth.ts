// What is below and above a scene: coastline, graticule, and the basemap of the settings.
import TileLayer from "ol/layer/Tile";
import VectorLayer from "ol/layer/Vector";
import Graticule from "ol/layer/Graticule";
import GeoJSON from "ol/format/GeoJSON";
import VectorSource from "ol/source/Vector";
import XYZ from "ol/source/XYZ";
import { Fill, Stroke, Style, Text } from "ol/style";
import type BaseLayer from "ol/layer/Base";
import type { Projection } from "ol/proj";
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
  const layers: BaseLayer[] = [];
  if (basemap && projection.getCode() === "EPSG:3857") {
    layers.push(new TileLayer({ source: new XYZ({ url: basemap.url, attributions: basemap.attribution }) }));
  } else {
    layers.push(coastline(projection));
  }
  layers.push(
    new Graticule({
      strokeStyle: new Stroke({ color: color("graticule"), width: 1 }),
      showLabels: true,
      wrapX: projection.getCode() === "EPSG:3857",
      lonLabelStyle: labelStyle("bottom"),
      latLabelStyle: labelStyle("middle"),
    }),
  );
  return layers;
}

function labelStyle(baseline: CanvasTextBaseline): Text {
  return new Text({
    font: "11px system-ui, sans-serif",
    textBaseline: baseline,
    textAlign: baseline === "middle" ? "end" : "center",
    fill: new Fill({ color: color("label") }),
    stroke: new Stroke({ color: color("halo"), width: 3 }),
  });
}

function coastline(projection: Projection): VectorLayer {
  const source = new VectorSource({ wrapX: projection.getCode() === "EPSG:3857" });
  const format = new GeoJSON({ featureProjection: projection });
  void fetchLand().then((topology) => {
    const document = feature(topology, topology.objects.land);
    const rings = format.readFeatures(document).filter((land) => {
      const extent = land.getGeometry()?.getExtent() ?? [];
      return extent.every(Number.isFinite);
    });
    source.addFeatures(rings);
  });
  const stroke = new Stroke({ color: color("coast"), width: 1 });
  return new VectorLayer({ source, style: new Style({ stroke, fill: new Fill({ color: color("land") }) }) });
}
