// Totals of the answers that a survey shows, by the formulas of the gateway (surveys/features.py, objects/totals.py).
import type { FoundObject, TileAnswer } from "./job";

const NORMAL_QUANTILE = 1.96;
const UNKNOWN_SCORE = 0.5;

/** A total in words; empty if the answers have none. */
export function totalOf(answers: TileAnswer[]): string {
  const counts = answers.filter(({ value }) => typeof value === "number");
  if (counts.length) {
    const hasOverlap = answers.some(({ core_share: share }) => share < 1);
    const sum = counts.reduce((total, { value, core_share: share }) => total + Number(value) * (hasOverlap ? share : 1), 0);
    const tiles = counts.filter(({ value }) => Number(value) > 0).length;
    return `${hasOverlap ? `about ${Number(sum.toFixed(1))}` : sum} in ${named(tiles, "tile")}`;
  }
  const booleans = answers.filter(({ value }) => typeof value === "boolean");
  return booleans.length ? `yes in ${named(booleans.filter(({ value }) => value === true).length, "tile")}` : "";
}

/** The number of objects, and the interval that holds the true one with a probability of 95 %. */
export function objectsOf(objects: FoundObject[], answers: TileAnswer[]): string {
  const scores = objects.map(({ score }) => score ?? UNKNOWN_SCORE);
  const expected = scores.reduce((total, score) => total + score, 0);
  const deviation = Math.sqrt(scores.reduce((total, score) => total + score * (1 - score), 0));
  const low = Math.min(scores.length, Math.max(0, Math.floor(expected - NORMAL_QUANTILE * deviation + 1e-9)));
  const high = scores.length + answers.reduce((total, answer) => total + unlocated(answer), 0);
  return `${named(scores.length, "object")} (${low} to ${high})`;
}

/** Objects that an answer states beyond those that were located in its tile. */
function unlocated({ value, objects }: TileAnswer): number {
  if (objects === undefined || value === null) return 0;
  const stated = typeof value === "string" ? 1 : Number(value);
  return Math.max(0, stated - objects);
}

function named(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
