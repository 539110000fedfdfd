// One tile of a survey: its picture and its answers.
import { limits, resultLine } from "./answer";
import { byId, make } from "./dom";
import { isAbort } from "./api";
import type { TileAnswer } from "./job";
import { showError } from "./errors";
import { change, state } from "./link";
import { markControl } from "./marks";
import type { SceneMap } from "./map";
import { loadPicture, pictureUrl } from "./picture";
import { markName, type Survey } from "./survey";
import type { SurveyLayer } from "./survey_layer";

/** The type, the value and the end of an answer, as those of a question. */
function toAnswer({ type, value, finish_reason, refusal }: TileAnswer): Parameters<typeof limits>[0] {
  return { answer: { type, value }, finish_reason, refusal };
}

export class TilePanel {
  private running: AbortController | undefined;

  constructor(
    private readonly view: SceneMap,
    private readonly survey: Survey,
    private readonly layer: SurveyLayer,
  ) {
    byId("tile-previous").addEventListener("click", () => this.step(-1));
    byId("tile-next").addEventListener("click", () => this.step(1));
    byId("tile-close").addEventListener("click", () => change({ tile: undefined }));
  }

  /** Go to a neighbor among the tiles that the filter leaves. */
  step(by: 1 | -1): void {
    const tiles = this.survey.shownTiles();
    if (tiles.length === 0) return;
    const at = tiles.indexOf(state().tile ?? NaN);
    const next = at < 0 ? (by > 0 ? 0 : tiles.length - 1) : (at + by + tiles.length) % tiles.length;
    change({ tile: tiles[next] }, "replace");
  }

  /** Show the tile of the link, if its answers have come. */
  show(): void {
    this.running?.abort();
    const { tile, survey } = state();
    const answers = tile === undefined ? [] : this.survey.answersOfTile(tile);
    const first = answers[0];
    this.layer.choose(first ? tile : undefined);
    byId("tile").hidden = !first;
    if (!first || tile === undefined) return;
    byId("tile").scrollIntoView({ block: "start" });
    byId("tile-title").textContent = `Tile ${tile}`;
    byId("tile-answers").replaceChildren(
      ...answers.flatMap((answer) => [
        make("dt", {}, answer.question),
        make(
          "dd",
          {},
          ...(answer.error ? [make("p", { class: "failed" }, answer.error)] : [resultLine(answer), ...limits(toAnswer(answer))]),
          markControl(markName(survey, tile, answer.question), answer.question),
        ),
      ]),
    );
    this.running = new AbortController();
    void this.loadImage(first.window, tile, this.running.signal);
  }

  private async loadImage(window: [number, number, number, number], tile: number, signal: AbortSignal): Promise<void> {
    if (!this.view.scene) return;
    const image = byId<HTMLImageElement>("tile-image");
    image.alt = `Radar picture of tile ${tile}, as the model saw it`;
    try {
      await loadPicture(image, pictureUrl(this.view.scene, window), signal);
    } catch (error) {
      if (!isAbort(error)) showError(error);
    }
  }
}
