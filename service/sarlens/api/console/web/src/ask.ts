// Questions about the picture: each answer appears as soon as the gateway has it, newest first.
import { limits, reasoningOf, resultLine, type Answer } from "./answer";
import { isAbort, postJson, records } from "./api";
import { byId, download, make, onChoice, copyText } from "./dom";
import { curlOfQuestion, pythonOfQuestion } from "./programs";
import { hideError, showError } from "./errors";
import { change, state } from "./link";
import { markControl, markProperties } from "./marks";
import type { SceneMap } from "./map";
import { renderMembers } from "./rendering";
import { describe } from "./stream";

/** For each application, a short name of a question, and the question. */
const SUGGESTIONS: [string, string, string][] = [
  ["Counting", "How many ships?", "How many ships are in the image?"],
  ["Identification", "Any ships?", "Are there any ships in the image?"],
  ["Position", "Where is the ship?", "Where is the ship positioned within the image?"],
  ["Classification", "What object?", "What type of object is present in the image?"],
  ["Land cover", "Land cover?", "What is the dominant land cover in the image?"],
  ["Use", "Use?", "What is this area most likely used for?"],
  ["Description", "Describe", "Describe the content of this image in one sentence."],
];
const MAX_ANSWERS = 50;

/** Render parameters of the selection, in the form of the API. */
export function renderOf(view: SceneMap): Record<string, unknown> {
  const { window, polygon, rendering } = state();
  const fields = view.scene ? renderMembers(rendering, view.scene) : {};
  const area = polygon ? view.placement?.toGeoJson(polygon) : undefined;
  if (area) return { ...fields, polygon: area };
  return window ? { ...fields, window } : fields;
}

export class Ask {
  private readonly answers: Answer[] = [];
  private readonly running = new Set<AbortController>();

  constructor(private readonly view: SceneMap) {
    const field = byId<HTMLTextAreaElement>("question");
    for (const [application, name, question] of SUGGESTIONS) {
      const take = (): void => {
        field.value = question;
        void this.submit();
      };
      const button = make("button", { type: "button", title: `${application}: ${question}`, click: take }, name);
      byId("suggestions").append(make("li", {}, button));
    }
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      void this.submit();
    });
    byId("question-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    byId("export-answers").addEventListener("click", () => this.export());
    onChoice(byId<HTMLSelectElement>("copy-answer"), (kind) => {
      const body = this.body(state().questions);
      void (kind === "curl" ? copyText(curlOfQuestion(body), "curl command") : copyText(pythonOfQuestion(body), "Python"));
    });
  }

  /** Show the questions of the link. */
  show(): void {
    byId<HTMLTextAreaElement>("question").value = state().questions.join("\n");
    byId("copy-answer").hidden = state().questions.length === 0;
  }

  /** Remove the answers, and stop the questions that wait. */
  clear(): void {
    for (const one of this.running) one.abort();
    this.answers.length = 0;
    byId("answers").replaceChildren();
    byId("export-answers").hidden = true;
  }

  private body(questions: string[]): object {
    return {
      model: state().model || undefined,
      image: { url: this.view.scene?.url, sar: renderOf(this.view) },
      questions,
      confidence: true,
    };
  }

  /** Ask the questions of the field. */
  async submit(): Promise<void> {
    const questions = byId<HTMLTextAreaElement>("question").value.split("\n").map((text) => text.trim()).filter(Boolean);
    if (questions.length === 0 || !this.view.scene) return;
    change({ questions: questions.slice(0, 16) });
    hideError();
    const running = new AbortController();
    this.running.add(running);
    const stop = (): HTMLElement => make("button", { type: "button", click: () => running.abort() }, "Stop");
    const cards = questions.map((question) => make("li", { class: "waiting" }, make("p", {}, question), stop(), " …"));
    byId("answers").prepend(...cards);
    cards[0]?.scrollIntoView({ block: "nearest" });
    try {
      if (questions.length === 1 && /^describe /i.test(questions[0] ?? "")) {
        const answer = await describe(this.body(questions), running.signal, (text) => cards[0]?.lastChild?.replaceWith(` ${text}`));
        this.add(cards[0], answer);
      } else {
        const response = await postJson("v1/sar/vqa", this.body(questions), { Accept: "application/x-ndjson" }, running.signal);
        for await (const line of records(response, "\n")) {
          const answer = JSON.parse(line) as Answer & { index: number };
          this.add(cards[answer.index], answer);
        }
      }
    } catch (error) {
      if (!isAbort(error)) showError(error);
    } finally {
      this.running.delete(running);
      for (const card of cards) if (card.classList.contains("waiting")) card.remove();
    }
  }

  private add(card: HTMLElement | undefined, answer: Answer): void {
    this.answers.unshift(answer);
    this.answers.length = Math.min(this.answers.length, MAX_ANSWERS);
    while (byId("answers").children.length > MAX_ANSWERS) byId("answers").lastChild?.remove();
    card?.classList.remove("waiting");
    card?.replaceChildren(make("p", {}, answer.question), ...parts(answer));
    card?.scrollIntoView({ block: "nearest" });
    byId("export-answers").hidden = false;
  }

  private export(): void {
    const scene = this.view.scene?.url;
    const rows = this.answers.map((answer) => ({ scene, ...answer, ...markProperties(keyOf(answer)) }));
    download("answers.json", new Blob([JSON.stringify(rows, null, 2)], { type: "application/json" }));
  }
}

function keyOf(answer: Answer): string {
  return `${answer.image.id}:${answer.model}:${answer.question}`;
}

function parts(answer: Answer): Node[] {
  if (answer.error) {
    return [make("p", { class: "failed" }, answer.error.message), make("code", {}, `request ${answer.error.request_id}`)];
  }
  const milliseconds = answer.timings.answer_ms;
  const time = milliseconds === undefined ? "" : `${(milliseconds / 1000).toFixed(milliseconds < 995 ? 2 : 1)} s`;
  const { type = "text", value, position_on_map: place } = answer.answer ?? {};
  const line = resultLine(answer, type);
  line.append(make("span", { class: "time" }, time));
  const onMap = place && place !== value ? `, on the map ${place}` : "";
  const more = make("p", { class: "more" }, make("span", { class: "type" }, type + onMap), markControl(keyOf(answer), answer.question));
  return [line, ...limits(answer), ...reasoningOf(answer), more];
}
