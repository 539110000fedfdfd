// A survey: start, watch, filter, cancel, export. A reload continues where the gateway is.
import { ApiError, apiUrl, isAbort, postJson, send } from "./api";
import { renderOf } from "./ask";
import { byId, copyText, debounce, download, onChoice } from "./dom";
import { hideError, showError } from "./errors";
import { answersOf, dismissJob, fetchJob, fetchObjects, isActive, resumeJob, type FoundObject, type Job, type TileAnswer } from "./job";
import { change, state } from "./link";
import { markProperties } from "./marks";
import type { SceneMap } from "./map";
import type { Plan } from "./plan";
import { curlOfSurvey, pythonOfSurvey, qgisOfSurvey } from "./programs";
import type { SurveyLayer } from "./survey_layer";
import { objectsOf, totalOf } from "./totals";

const RETRY_MS = 1000;

export class Survey {
  private job: Job | undefined;
  private readonly answers = new Map<number, Map<string, TileAnswer>>();
  /** Undefined until the survey ends, and without objects. */
  private objects: FoundObject[] | undefined;
  /** Whether the survey was started on this page, whose map then shows all of its area. */
  private isNew = false;
  /** Whether all answers have come. */
  private isComplete = false;
  private running: AbortController | undefined;
  private readonly later = debounce(() => this.refresh(), 50);

  constructor(
    private readonly view: SceneMap,
    private readonly layer: SurveyLayer,
    private readonly plan: Plan,
  ) {
    byId("plan-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.start();
    });
    for (const id of ["survey-question", "survey-color", "filter-value", "filter-confidence"]) {
      byId(id).addEventListener("input", () => this.refresh());
    }
    byId("survey-cancel").addEventListener("click", () => void this.cancel());
    byId("survey-resume").addEventListener("click", () => void this.resume());
    byId("survey-close").addEventListener("click", () => change({ survey: "", tile: undefined }));
    onChoice(byId<HTMLSelectElement>("survey-export"), (format) => void this.export(format));
    onChoice(byId<HTMLSelectElement>("survey-copy"), (kind) => void this.copy(kind));
  }

  /** Answers of a tile, in the order in which they came. */
  answersOfTile(tile: number): TileAnswer[] {
    return [...(this.answers.get(tile)?.values() ?? [])];
  }

  /** Tiles that the filter leaves, in their order. */
  shownTiles(): number[] {
    return [...this.answers.keys()].filter((tile) => this.shown(tile)).sort((a, b) => a - b);
  }

  /** Show no survey. */
  clear(): void {
    this.running?.abort();
    this.answers.clear();
    this.layer.clear();
    this.job = this.objects = undefined;
    this.isComplete = false;
    byId("survey").hidden = true;
    byId("survey-question").replaceChildren();
  }

  /** Watch the survey of the link, or none. */
  async show(): Promise<void> {
    this.clear();
    const id = state().survey;
    if (!id) return;
    const running = new AbortController();
    this.running = running;
    try {
      await this.watch(id, running.signal);
    } catch (error) {
      if (!isAbort(error)) showError(error);
    }
  }

  private body(): Record<string, unknown> {
    return {
      model: state().model || undefined,
      image: { url: this.view.scene?.url, sar: renderOf(this.view) },
      questions: state().questions,
      tile: this.plan.tile,
      overlap: this.plan.overlap,
      objects: byId<HTMLInputElement>("plan-objects").checked ? "confirmed" : undefined,
    };
  }

  private async start(): Promise<void> {
    const typed = byId<HTMLTextAreaElement>("question").value.split("\n").map((text) => text.trim()).filter(Boolean);
    const questions = typed.length ? typed : ["How many ships are in the image?"];
    change({ questions }, "replace");
    hideError();
    const button = byId<HTMLButtonElement>("plan-start");
    button.disabled = true;
    try {
      const response = await postJson("v1/sar/surveys", this.body(), { Prefer: "respond-async" });
      const job = (await response.json()) as Job;
      if (this.plan.isShown) this.plan.toggle();
      this.isNew = true;
      change({ survey: job.id, tile: undefined });
    } catch (error) {
      showError(error);
    } finally {
      button.disabled = false;
    }
  }

  private async watch(id: string, signal: AbortSignal): Promise<void> {
    this.job = await fetchJob(id);
    byId("survey").hidden = false;
    if (this.isNew) this.view.showSelection();
    this.isNew = false;
    this.refresh();
    do {
      try {
        await this.receive(id, signal);
        this.job = await fetchJob(id);
      } catch (error) {
        if (signal.aborted || (error instanceof ApiError && error.status)) throw error;
        // The gateway restarts: the survey goes on by itself.
        await new Promise((resolve) => window.setTimeout(resolve, RETRY_MS));
      }
    } while (!signal.aborted && isActive(this.job));
    if (signal.aborted) return;
    this.isComplete = true;
    if (this.job.objects && this.job.status === "successful") this.objects = await fetchObjects(this.job);
    this.refresh();
    if (this.job.error) showError(new Error(this.job.error.message));
    void this.plan.load();
  }

  private async receive(id: string, signal: AbortSignal): Promise<void> {
    for await (const answer of answersOf(id, signal)) {
      const answers = this.answers.get(answer.tile) ?? new Map<string, TileAnswer>();
      this.answers.set(answer.tile, answers.set(answer.question, answer));
      this.layer.add(answer);
      this.later();
    }
  }

  private async cancel(): Promise<void> {
    if (!this.job) return;
    try {
      await dismissJob(this.job.id);
      this.job = await fetchJob(this.job.id);
      this.refresh();
    } catch (error) {
      showError(error);
    }
  }

  private async resume(): Promise<void> {
    if (!this.job) return;
    hideError();
    try {
      await resumeJob(this.job.id);
      await this.show();
    } catch (error) {
      if (!isAbort(error)) showError(error);
    }
  }

  private shown(tile: number): TileAnswer | undefined {
    const question = byId<HTMLSelectElement>("survey-question").value;
    const answer = this.answers.get(tile)?.get(question);
    if (!answer) return undefined;
    const least = byId<HTMLInputElement>("filter-value").value;
    const confidence = byId<HTMLInputElement>("filter-confidence").value;
    if (least && Number(answer.value ?? 0) < Number(least)) return undefined;
    if (confidence && (answer.confidence ?? 0) < Number(confidence)) return undefined;
    return answer;
  }

  private refresh(): void {
    const { job } = this;
    if (!job) return;
    this.showQuestions();
    const finished = this.isComplete ? job.answered + job.blank + job.failed : this.answers.size;
    const progress = byId<HTMLProgressElement>("survey-progress");
    progress.max = Math.max(1, job.tiles);
    progress.value = finished;
    const shown = this.shownTiles().map((tile) => this.shown(tile) as TileAnswer);
    const objects = this.shownObjects();
    this.layer.showObjects(objects ?? []);
    const ended = { successful: "", failed: "failed", dismissed: "canceled", accepted: "waiting", running: "" }[job.status];
    const failed = job.failed ? `${job.failed} failed` : "";
    const parts = [`${finished} / ${job.tiles} tiles`, failed, objects ? objectsOf(objects, shown) : "", totalOf(shown), ended];
    byId("survey-text").textContent = parts.filter(Boolean).join(" · ");
    byId("survey-cancel").hidden = !isActive(job);
    byId<HTMLOptionElement>("export-objects").disabled = this.objects === undefined;
    byId("survey-resume").hidden = job.status !== "failed" && job.status !== "dismissed";
    this.color(shown);
  }

  /** Objects that the filter leaves, of the question that is shown. */
  private shownObjects(): FoundObject[] | undefined {
    const question = byId<HTMLSelectElement>("survey-question").value;
    const least = Number(byId<HTMLInputElement>("filter-confidence").value);
    return this.objects?.filter((one) => one.question === question && (one.score ?? 1) >= least);
  }

  /** Color the tiles, and show what the colors mean. */
  private color(shown: TileAnswer[]): void {
    const counts = [...this.answers.values()].flatMap((answers) => [...answers.values()]).map(({ value }) => Number(value) || 0);
    const highest = counts.reduce((a, b) => Math.max(a, b), 1);
    const by = byId<HTMLSelectElement>("survey-color").value as "value" | "confidence";
    const isCount = shown.some(({ value }) => typeof value === "number");
    byId("legend").hidden = by === "value" && !isCount;
    byId("legend-highest").textContent = by === "value" ? String(highest) : "1";
    this.layer.restyle({ answer: (tile) => this.shown(tile), by, highest });
  }

  private showQuestions(): void {
    const menu = byId<HTMLSelectElement>("survey-question");
    const known = new Set([...menu.options].map((option) => option.value));
    for (const answers of this.answers.values()) {
      for (const question of answers.keys()) {
        if (!known.has(question)) menu.add(new Option(question));
        known.add(question);
      }
    }
    byId("survey-question-label").hidden = menu.options.length < 2;
  }

  private async export(format: string): Promise<void> {
    const { job } = this;
    if (!job) return;
    try {
      if (format === "objects") {
        const objects = await send(apiUrl(`v1/sar/surveys/${job.id}/objects`));
        download(`survey-${job.id}-objects.geojson`, await objects.blob());
        return;
      }
      const response = await send(apiUrl(`v1/sar/surveys/${job.id}/features`, { format }));
      const content = format === "geojson" ? await marked(response) : await response.blob();
      download(`survey-${job.id}.${format}`, content);
    } catch (error) {
      showError(error);
    }
  }

  private async copy(kind: string): Promise<void> {
    if (!this.job) return;
    if (kind === "qgis") await copyText(qgisOfSurvey(this.job.id), "QGIS command");
    else if (kind === "curl") await copyText(curlOfSurvey(this.body()), "curl command");
    else await copyText(pythonOfSurvey(this.body()), "Python program");
  }
}

/** Name of an answer of a survey among the marks of this browser. */
export function markName(survey: string, tile: number, question: string): string {
  return `${survey}:${tile}:${question}`;
}

/** The GeoJSON of a survey with the marks and notes of this browser. */
async function marked(response: Response): Promise<Blob> {
  const document = (await response.json()) as { features: { properties: Record<string, unknown> }[] };
  for (const { properties } of document.features) {
    const name = markName(String(properties["survey"]), Number(properties["tile"]), String(properties["question"]));
    Object.assign(properties, markProperties(name));
  }
  return new Blob([JSON.stringify(document)], { type: "application/geo+json" });
}
