// A survey job of the gateway: its status, and its answers as they come.
import { apiUrl, getJson, records, send } from "./api";
import type { Point, Window } from "./grid";

export interface Job {
  id: string;
  status: "accepted" | "running" | "successful" | "failed" | "dismissed";
  tiles: number;
  answered: number;
  blank: number;
  failed: number;
  model: string;
  /** URL of the image, if it has one. */
  image: string | null;
  questions: string[];
  created: string;
  tile?: number;
  started: string | null;
  finished: string | null;
  /** Path of the objects, if the survey was submitted with them. */
  objects?: string;
  error?: { code: string; message: string };
}

export interface TileAnswer {
  tile: number;
  window: Window;
  question: string;
  text: string;
  type: string;
  value: boolean | number | string | null;
  confidence: number | null;
  finish_reason: string | null;
  refusal: string | null;
  /** Share of the tile's area that no neighbor has. */
  core_share: number;
  /** Objects that were located in the tile; undefined if the survey looks for none. */
  objects: number | undefined;
  error: string | undefined;
}

interface TileFeature {
  properties: Record<string, unknown>;
}

/** An object of a survey, at its center in pixels. */
export interface FoundObject {
  center: Point;
  name: string;
  score: number | null;
  question: string;
}

/** The objects of a complete survey; none if it was submitted without. */
export async function fetchObjects(job: Job): Promise<FoundObject[]> {
  if (!job.objects || job.status !== "successful") return [];
  const { features } = await getJson<{ features: TileFeature[] }>(`v1/sar/surveys/${job.id}/objects`);
  return features.map(({ properties }) => ({
    center: [Number(properties["col"]), Number(properties["row"])],
    name: String(properties["class"] ?? "object"),
    score: properties["score"] as number | null,
    question: String(properties["question"]),
  }));
}

export function isActive(job: Job): boolean {
  return job.status === "accepted" || job.status === "running";
}

export function fetchJob(id: string): Promise<Job> {
  return getJson<Job>(`v1/sar/surveys/${id}`);
}

export async function dismissJob(id: string): Promise<void> {
  await send(apiUrl(`v1/sar/surveys/${id}`), { method: "DELETE" });
}

/** Continue a canceled or failed survey with the tiles that have no answer. */
export async function resumeJob(id: string): Promise<void> {
  await send(apiUrl(`v1/sar/surveys/${id}/resume`), { method: "POST" });
}

/** The latest surveys that the gateway remembers, newest first. */
export async function fetchJobs(limit: number): Promise<Job[]> {
  return (await getJson<{ data: Job[] }>("v1/sar/surveys", { limit })).data;
}

/** The answers of a job so far, then each one as it comes, until the job ends. */
export async function* answersOf(id: string, signal: AbortSignal): AsyncGenerator<TileAnswer> {
  const headers = { Accept: "application/geo+json-seq" };
  const response = await send(apiUrl(`v1/sar/surveys/${id}/features`), { headers, signal });
  for await (const record of records(response, "\x1e")) {
    const answer = toAnswer(JSON.parse(record) as TileFeature);
    if (answer) yield answer;
  }
}

function toAnswer({ properties }: TileFeature): TileAnswer | undefined {
  const { tile, col, row, width, height } = properties;
  if (typeof tile !== "number" || typeof col !== "number") return undefined;
  return {
    tile,
    window: [col, row, width, height] as Window,
    question: String(properties["question"] ?? "Caption"),
    text: String(properties["answer"] ?? ""),
    type: String(properties["type"] ?? ""),
    value: valueOf(properties),
    confidence: typeof properties["confidence"] === "number" ? properties["confidence"] : null,
    finish_reason: (properties["finish_reason"] as string | undefined) ?? null,
    refusal: (properties["refusal"] as string | undefined) ?? null,
    core_share: Number(properties["core_share"] ?? 1),
    objects: properties["objects"] as number | undefined,
    error: properties["error"] ? String(properties["error_message"] ?? properties["error"]) : undefined,
  };
}

/** The value of an answer, which is in the column of its type. */
function valueOf(properties: Record<string, unknown>): TileAnswer["value"] {
  const columns = ["count", "yes", "class", "position", "text"].map((name) => properties[name]);
  return (columns.find((value) => value !== null && value !== undefined) ?? null) as TileAnswer["value"];
}

/** Seconds of a tile in the latest surveys that the gateway remembers, or undefined. */
export async function secondsPerTile(model: string): Promise<number | undefined> {
  for (const job of await fetchJobs(20)) {
    if (job.status !== "successful" || job.model !== model || !job.started || !job.finished || !job.answered) continue;
    return (Date.parse(job.finished) - Date.parse(job.started)) / 1000 / job.answered;
  }
  return undefined;
}
