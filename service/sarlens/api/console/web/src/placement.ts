// Where the pixels of a scene are on the map. Unplaced scenes are shown in the plane of their own pixels.
import { boundingExtent, buffer, getHeight, getWidth, type Extent } from "ol/extent";
import { Projection, addProjection, fromLonLat, get, toLonLat } from "ol/proj";
import { register } from "ol/proj/proj4";
import proj4 from "proj4";
import type { Point, Window } from "./grid";
import type { Mesh, Scene } from "./scene";

export interface TileMatrixSet {
  id: string;
  projection: Projection;
  origin: Point;
  /** Size of a pixel at zoom 0. */
  cellSize: number;
}

const EARTH_AROUND = 2 * 20037508.342789244;
/** Share of a scene's longer side by which it can be outside the outline of its mesh. */
const EXTENT_MARGIN = 0.01;
const POLAR_EDGE = 14440759.350252;
const POLAR_ORIGIN: Point = [-POLAR_EDGE, 18440759.350252];
const POLAR_CELL = 128443.4324;
proj4.defs("EPSG:5041", "+proj=stere +lat_0=90 +k=0.994 +x_0=2000000 +y_0=2000000 +datum=WGS84 +units=m");
proj4.defs("EPSG:5042", "+proj=stere +lat_0=-90 +k=0.994 +x_0=2000000 +y_0=2000000 +datum=WGS84 +units=m");
register(proj4);
for (const [code, south, north] of [["EPSG:5041", 60, 90], ["EPSG:5042", -90, -60]] as const) {
  const side = POLAR_CELL * 256;
  get(code)?.setExtent([-POLAR_EDGE, POLAR_ORIGIN[1] - side, -POLAR_EDGE + side, POLAR_ORIGIN[1]]);
  get(code)?.setWorldExtent([-180, south, 180, north]);
}

function projection(code: string): Projection {
  const found = get(code);
  if (!found) throw new Error(`no projection ${code}`);
  return found;
}

/** The tile matrix set in which a scene is whole: around a pole a polar one, else web Mercator, else its own pixels. */
export function matrixSetOf(scene: Scene): TileMatrixSet {
  const sets = scene.tile_matrix_sets;
  const polar = sets.find((id) => id.startsWith("UPS"));
  if (scene.mesh && polar && (!sets.includes("WebMercatorQuad") || isPolar(scene.mesh))) {
    const code = polar === "UPSArcticWGS84Quad" ? "EPSG:5041" : "EPSG:5042";
    return { id: polar, projection: projection(code), origin: POLAR_ORIGIN, cellSize: POLAR_CELL };
  }
  if (scene.mesh && sets.includes("WebMercatorQuad")) {
    const edge = EARTH_AROUND / 2;
    const cellSize = EARTH_AROUND / 256;
    return { id: "WebMercatorQuad", projection: projection("EPSG:3857"), origin: [-edge, edge], cellSize };
  }
  const levels = scene.max_zoom["pixels"] ?? 0;
  const extent = [0, -scene.height, scene.width, 0];
  const pixels = new Projection({ code: `pixels-${scene.width}-${scene.height}`, units: "pixels", extent });
  addProjection(pixels);
  return { id: "pixels", projection: pixels, origin: [0, 0], cellSize: 2 ** levels };
}

/** From 80 degrees on, Mercator stretches more than five times. */
function isPolar(mesh: Mesh): boolean {
  return mesh.lonlat.flat().some(([, latitude]) => Math.abs(latitude) > 80);
}

export class Placement {
  readonly isPlaced: boolean;
  private readonly nodes: Point[][];

  constructor(
    private readonly scene: Scene,
    readonly matrixSet: TileMatrixSet,
  ) {
    this.isPlaced = matrixSet.id !== "pixels";
    this.nodes = this.isPlaced && scene.mesh ? this.project(scene.mesh) : [];
  }

  /** Nodes of the mesh on the map; on Mercator, without a jump at the antimeridian. */
  private project(mesh: Mesh): Point[][] {
    const first = mesh.lonlat[0]?.[0]?.[0] ?? 0;
    const isMercator = this.matrixSet.id === "WebMercatorQuad";
    return mesh.lonlat.map((row) =>
      row.map(([longitude, latitude]) => {
        const turn = isMercator ? 360 * Math.round((first - longitude) / 360) : 0;
        return fromLonLat([longitude + turn, latitude], this.matrixSet.projection) as Point;
      }),
    );
  }

  /** Map coordinates of a position in pixels. */
  toMap([col, row]: Point): Point {
    if (!this.isPlaced || !this.scene.mesh) return [col, -row];
    const [i, u] = locate(this.scene.mesh.cols, col);
    const [j, v] = locate(this.scene.mesh.rows, row);
    const [a, b, c, d] = [[j, i], [j, i + 1], [j + 1, i], [j + 1, i + 1]].map(([y, x]) => this.nodes[y ?? 0]?.[x ?? 0]);
    if (!a || !b || !c || !d) return [NaN, NaN];
    const mix = (k: 0 | 1): number => (1 - v) * ((1 - u) * a[k] + u * b[k]) + v * ((1 - u) * c[k] + u * d[k]);
    return [mix(0), mix(1)];
  }

  /** Position in pixels of map coordinates, by Newton's method; also outside the scene. */
  toPixel([x, y]: Point): Point {
    if (!this.isPlaced) return [x, -y];
    let at: Point = [this.scene.width / 2, this.scene.height / 2];
    const step = Math.max(1, Math.min(this.scene.width, this.scene.height) / 64);
    for (let turn = 0; turn < 12; turn++) {
      const here = this.toMap(at);
      const across = this.toMap([at[0] + step, at[1]]);
      const down = this.toMap([at[0], at[1] + step]);
      const [ax, ay] = [(across[0] - here[0]) / step, (across[1] - here[1]) / step];
      const [bx, by] = [(down[0] - here[0]) / step, (down[1] - here[1]) / step];
      const [dx, dy] = [x - here[0], y - here[1]];
      const determinant = ax * by - ay * bx;
      const move: Point = [(dx * by - dy * bx) / determinant, (ax * dy - ay * dx) / determinant];
      at = [at[0] + move[0], at[1] + move[1]];
      if (Math.hypot(...move) < 0.01) break;
    }
    return at;
  }

  /** Longitude and latitude of map coordinates; undefined for an unplaced scene. */
  toLonLat(at: Point): Point | undefined {
    if (!this.isPlaced) return undefined;
    const [longitude, latitude] = toLonLat(at, this.matrixSet.projection) as Point;
    return [((((longitude + 180) % 360) + 360) % 360) - 180, latitude];
  }

  /** Degrees clockwise from up to north in the pixels of the scene; undefined for an unplaced scene and at a pole. */
  northAt(pixel: Point): number | undefined {
    const at = this.toMap(pixel);
    const north = this.northOf(at);
    if (!north) return undefined;
    const [col, row] = this.toPixel(north);
    return (Math.atan2(col - pixel[0], pixel[1] - row) * 180) / Math.PI;
  }

  /** The same on the map. */
  northOnMap(at: Point): number | undefined {
    const north = this.northOf(at);
    return north && (Math.atan2(north[0] - at[0], north[1] - at[1]) * 180) / Math.PI;
  }

  /** A place 0.01 degrees to the north. */
  private northOf(at: Point): Point | undefined {
    const lonlat = this.toLonLat(at);
    if (!lonlat || Math.abs(lonlat[1]) > 89.9) return undefined;
    const [x, y] = fromLonLat([lonlat[0], lonlat[1] + 0.01], this.matrixSet.projection) as Point;
    // On Mercator, the map can be a turn of the earth away.
    return this.matrixSet.id === "WebMercatorQuad" ? [at[0], y] : [x, y];
  }

  /** The outline of a window on the map; edges have points enough to follow a bent scene. */
  outline([col, row, width, height]: Window, pieces = 8): Point[] {
    const corners: Point[] = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]];
    const ring: Point[] = [];
    for (let side = 0; side < 4; side++) {
      const [from, to] = [corners[side] as Point, corners[side + 1] as Point];
      for (let piece = 0; piece < pieces; piece++) {
        const share = piece / pieces;
        const [u, v] = [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
        ring.push(this.toMap([col + u * width, row + v * height]));
      }
    }
    return [...ring, ring[0] as Point];
  }

  /**
   * What the scene covers on the map; on Mercator, in the turn of the earth that is nearest to x. Undefined for an
   * unplaced scene, and for one around half of the earth.
   */
  extentNear(x: number): Extent | undefined {
    if (!this.isPlaced) return undefined;
    const outline = boundingExtent(this.outline([0, 0, this.scene.width, this.scene.height], 64));
    const width = getWidth(outline);
    if (!outline.every(Number.isFinite) || width > EARTH_AROUND / 2) return undefined;
    const [left, bottom, right, top] = buffer(outline, Math.max(width, getHeight(outline)) * EXTENT_MARGIN) as [number, number, number, number];
    const isMercator = this.matrixSet.id === "WebMercatorQuad";
    const turn = isMercator ? EARTH_AROUND * Math.round((x - (left + right) / 2) / EARTH_AROUND) : 0;
    return [left + turn, bottom, right + turn, top];
  }

  /** A polygon in pixels as GeoJSON in longitude and latitude, as the gateway takes it. */
  toGeoJson(polygon: Point[]): { type: "Polygon"; coordinates: Point[][] } | undefined {
    if (!this.isPlaced) return undefined;
    const ring = polygon.map((corner) => this.toLonLat(this.toMap(corner)) as Point);
    return { type: "Polygon", coordinates: [[...ring, ring[0] as Point]] };
  }
}

/** The interval of a rising list in which a value is, and its share; beyond the ends, that of the outermost one. */
function locate(stops: number[], value: number): [number, number] {
  let low = 0;
  while (low < stops.length - 2 && value >= (stops[low + 1] ?? 0)) low++;
  const from = stops[low] ?? 0;
  return [low, (value - from) / ((stops[low + 1] ?? from + 1) - from)];
}
