// Windows and tiles, in pixels of the full resolution. The grid is that of the gateway (surveys/tile_grid.py).

/** Column, row, width, height. */
export type Window = [number, number, number, number];
export type Point = [number, number];

/** The smallest window around points, inside an image; undefined if it has no pixel. */
export function windowAround(points: Point[], width: number, height: number): Window | undefined {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const left = Math.max(0, Math.round(Math.min(...xs)));
  const top = Math.max(0, Math.round(Math.min(...ys)));
  const right = Math.min(width, Math.round(Math.max(...xs)));
  const bottom = Math.min(height, Math.round(Math.max(...ys)));
  return right > left && bottom > top ? [left, top, right - left, bottom - top] : undefined;
}

/** A window of a size around the center of another one, moved inside the image. */
export function centered(around: Window, size: number, width: number, height: number): Window {
  const across = Math.min(size, width);
  const down = Math.min(size, height);
  const col = Math.round(around[0] + (around[2] - across) / 2);
  const row = Math.round(around[1] + (around[3] - down) / 2);
  return [clamp(col, 0, width - across), clamp(row, 0, height - down), across, down];
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** Pixels of the image per pixel of the picture, at least 1. */
export function reduction(window: Window, size: number): number {
  return Math.max(1, Math.max(window[2], window[3]) / size);
}

/** The tiles that cover an area, or one number if they are too many to draw. */
export function tilesOf(area: Window, width: number, height: number, tile: number, overlap: number): Window[] {
  const tiles: Window[] = [];
  for (const [top, bottom] of spans(height, area[1], area[3], tile, overlap)) {
    for (const [left, right] of spans(width, area[0], area[2], tile, overlap)) {
      tiles.push([left, top, right - left, bottom - top]);
    }
  }
  return tiles;
}

export function countTiles(area: Window, width: number, height: number, tile: number, overlap: number): number {
  const across = spans(width, area[0], area[2], tile, overlap).length;
  return across * spans(height, area[1], area[3], tile, overlap).length;
}

function spans(length: number, start: number, extent: number, tile: number, overlap: number): Point[] {
  const stride = tile - overlap;
  const last = Math.max(0, Math.ceil((length - overlap) / stride) - 1);
  const from = Math.min(Math.floor(start / stride), last);
  const to = Math.min(Math.floor((start + extent - 1) / stride), last);
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const low = Math.min((from + i) * stride, Math.max(0, length - tile));
    return [low, Math.min(low + tile, length)] as Point;
  });
}

/** Whether a rectangle and a polygon have a point in common. */
export function touches(tile: Window, polygon: Point[]): boolean {
  const [left, top, width, height] = tile;
  const corners: Point[] = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]];
  if (corners.some((corner) => isInside(corner, polygon))) return true;
  if (polygon.some(([x, y]) => x > left && x < left + width && y > top && y < top + height)) return true;
  return edges(corners).some((side) => edges(polygon).some((edge) => cross(side, edge)));
}

function edges(ring: Point[]): [Point, Point][] {
  return ring.map((point, i) => [point, ring[(i + 1) % ring.length] ?? point]);
}

function isInside([x, y]: Point, ring: Point[]): boolean {
  let inside = false;
  for (const [[ax, ay], [bx, by]] of edges(ring)) {
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

function cross([a, b]: [Point, Point], [c, d]: [Point, Point]): boolean {
  return turn(a, b, c) !== turn(a, b, d) && turn(c, d, a) !== turn(c, d, b);
}

function turn([ax, ay]: Point, [bx, by]: Point, [cx, cy]: Point): boolean {
  return (bx - ax) * (cy - ay) > (by - ay) * (cx - ax);
}
