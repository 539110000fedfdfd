// The map: the scene's tiles over the earth, or over nothing if the scene has no place on it.
import Map from "ol/Map";
import View from "ol/View";
import { defaults as defaultControls } from "ol/control/defaults";
import ScaleLine from "ol/control/ScaleLine";
import type ImageTile from "ol/ImageTile";
import type BaseLayer from "ol/layer/Base";
import TileLayer from "ol/layer/Tile";
import TileState from "ol/TileState";
import TileImage from "ol/source/TileImage";
import TileGrid from "ol/tilegrid/TileGrid";
import { boundingExtent, type Extent } from "ol/extent";
import type { Coordinate } from "ol/coordinate";
import { apiUrl, isAbort, send } from "./api";
import { byId } from "./dom";
import { earthLayers, type Basemap } from "./earth";
import { showError } from "./errors";
import type { Point } from "./grid";
import { state } from "./link";
import { Placement, matrixSetOf, type TileMatrixSet } from "./placement";
import { tileParams, type Rendering } from "./rendering";
import type { Scene } from "./scene";

const MAX_ZOOM_IN = 8;

export class SceneMap {
  readonly map: Map;
  scene: Scene | undefined;
  placement: Placement | undefined;
  private basemap: Basemap | null = null;
  private earth: BaseLayer[] = [];
  private tiles: TileLayer | undefined;

  constructor(private readonly onView: (view: [number, number, number]) => void) {
    this.map = new Map({
      target: "map",
      controls: defaultControls({ zoomOptions: { zoomInTipLabel: "Zoom in", zoomOutTipLabel: "Zoom out" } }),
      keyboardEventTarget: byId("map"),
    });
    this.map.on("moveend", () => {
      const view = this.map.getView();
      const [x, y] = view.getCenter() ?? [];
      const resolution = view.getResolution();
      if (this.scene && x !== undefined && y !== undefined && resolution) this.onView([x, y, resolution]);
    });
    this.map.on("pointermove", (event) => this.showPosition(event.coordinate));
    this.map.on("moveend", () => {
      const center = this.map.getView().getCenter();
      this.showPosition(center);
      this.showNorth(center);
    });
  }

  /** Show a scene; the view is that of the link, or the whole scene. */
  show(scene: Scene, rendering: Rendering, basemap: Basemap | null, view: [number, number, number] | undefined): void {
    const matrixSet = matrixSetOf(scene);
    this.scene = scene;
    this.placement = new Placement(scene, matrixSet);
    this.basemap = basemap;
    const shown = this.makeView(matrixSet);
    shown.on("change:center", () => this.limitTiles());
    this.map.setView(shown);
    this.removeEarth();
    this.render(rendering);
    this.drawEarth();
    this.setScale();
    if (view) this.setView(view);
    else this.showWhole();
  }

  /** Show the tiles of the scene with other render parameters. */
  render(rendering: Rendering): void {
    if (!this.scene || !this.placement) return;
    if (this.tiles) this.map.removeLayer(this.tiles);
    this.tiles = tileLayer(this.scene, this.placement.matrixSet, rendering);
    this.limitTiles();
    this.map.getLayers().insertAt(this.earth.length, this.tiles);
  }

  /** Request no tiles beside the scene: in a view of an ocean, they would be thousands of the scene's first zoom level. */
  private limitTiles(): void {
    const extent = this.placement?.extentNear(this.map.getView().getCenter()?.[0] ?? 0);
    if (String(extent) !== String(this.tiles?.getExtent())) this.tiles?.setExtent(extent);
  }

  /** Draw what is below the scene, again after a change of the theme. */
  drawEarth(): void {
    this.removeEarth();
    if (!this.placement) return;
    this.earth = this.placement.isPlaced ? earthLayers(this.placement.matrixSet.projection, this.basemap) : [];
    this.earth.forEach((layer, i) => this.map.getLayers().insertAt(i, layer));
    byId("attribution").textContent = this.earth.length && this.basemap ? this.basemap.attribution : "";
  }

  clear(): void {
    this.scene = this.placement = undefined;
    this.removeEarth();
    if (this.tiles) this.map.removeLayer(this.tiles);
    this.tiles = undefined;
  }

  showWhole(): void {
    const { scene, placement } = this;
    if (scene && placement) this.fit(placement.outline([0, 0, scene.width, scene.height]));
  }

  /** Show the part of the link, or the whole scene, in what room the map has now. */
  showSelection(): void {
    this.map.updateSize();
    const { window } = state();
    if (window && this.placement) this.fit(this.placement.outline(window));
    else this.showWhole();
  }

  private fit(ring: Point[]): void {
    const padding = [40, 40, 40, 40];
    this.map.getView().fit(boundingExtent(ring), { size: this.map.getSize() ?? [800, 600], padding });
  }

  setView([x, y, resolution]: [number, number, number]): void {
    this.map.getView().setCenter([x, y]);
    this.map.getView().setResolution(resolution);
  }

  private removeEarth(): void {
    for (const layer of this.earth) this.map.removeLayer(layer);
    this.earth = [];
  }

  private makeView(matrixSet: TileMatrixSet): View {
    const finest = matrixSet.cellSize / 2 ** (this.scene?.max_zoom[matrixSet.id] ?? 0);
    return new View({
      projection: matrixSet.projection,
      minResolution: finest / MAX_ZOOM_IN,
      maxResolution: matrixSet.id === "pixels" ? matrixSet.cellSize * 4 : matrixSet.cellSize,
      center: [0, 0],
      resolution: finest,
      enableRotation: false,
      showFullExtent: true,
      constrainOnlyCenter: matrixSet.id === "pixels",
    });
  }

  private setScale(): void {
    for (const control of this.map.getControls().getArray().slice()) {
      if (control instanceof ScaleLine) this.map.removeControl(control);
    }
    byId("scale").replaceChildren();
    if (this.placement?.isPlaced) this.map.addControl(new ScaleLine({ target: byId("scale"), minWidth: 80 }));
  }

  private showNorth(center: Coordinate | undefined): void {
    const angle = center && this.placement?.northOnMap([center[0] ?? 0, center[1] ?? 0]);
    byId("north").hidden = angle === undefined;
    byId("north-arrow").style.rotate = `${angle ?? 0}deg`;
    byId("north").ariaLabel = Math.abs(angle ?? 0) < 1 ? "North is up" : `North is ${Math.round(angle ?? 0)}° clockwise from up`;
  }

  private showPosition(at: Coordinate | undefined): void {
    if (!at || !this.scene || !this.placement) return;
    const point: Point = [at[0] ?? 0, at[1] ?? 0];
    const [col, row] = this.placement.toPixel(point);
    const inside = col >= 0 && row >= 0 && col < this.scene.width && row < this.scene.height;
    const lonlat = this.placement.toLonLat(point);
    const position = lonlat ? `${degrees(lonlat[1], "N", "S")} ${degrees(lonlat[0], "E", "W")}` : "";
    byId("position").textContent = `${position}   ${inside ? `px ${Math.floor(col)}, ${Math.floor(row)}` : ""}`;
  }
}

function degrees(value: number, positive: string, negative: string): string {
  return `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
}

function tileLayer(scene: Scene, matrixSet: TileMatrixSet, rendering: Rendering): TileLayer {
  const { id, projection, origin, cellSize } = matrixSet;
  const resolutions = Array.from({ length: (scene.max_zoom[id] ?? 0) + 1 }, (_, z) => cellSize / 2 ** z);
  const isPixels = id === "pixels";
  const extent: Extent | undefined = isPixels ? [0, -scene.height, scene.width, 0] : undefined;
  const options = { origin, resolutions, tileSize: 256, minZoom: scene.min_zoom[id] ?? 0 };
  const params = { url: scene.url, ...tileParams(rendering, scene) };
  const source = new TileImage({
    projection,
    tileGrid: new TileGrid(extent ? { ...options, extent } : options),
    wrapX: id === "WebMercatorQuad",
    interpolate: false,
    transition: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 150,
    tileUrlFunction: ([z, x, y]) => apiUrl(`v1/sar/tiles/${id}/${z}/${x}/${y}`, params),
    tileLoadFunction: (tile, url) => void loadTile(tile as ImageTile, url),
  });
  return new TileLayer({ source });
}

/** Load a tile by a request of this page, which can send the API key. */
async function loadTile(tile: ImageTile, url: string): Promise<void> {
  const image = tile.getImage() as HTMLImageElement;
  try {
    const response = await send(url);
    if (response.status === 204) {
      image.src = EMPTY;
      return;
    }
    const source = URL.createObjectURL(await response.blob());
    image.addEventListener("load", () => URL.revokeObjectURL(source), { once: true });
    image.src = source;
  } catch (error) {
    tile.setState(TileState.ERROR);
    if (!isAbort(error)) showError(error);
  }
}

const EMPTY = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
