// One answer as text, confidence, and what limits it.
import { make } from "./dom";

export interface Answer {
  question: string;
  model: string;
  text?: string;
  answer?: { type: string; value: boolean | number | string | null; position_on_map?: string | null };
  confidence?: number | null;
  finish_reason?: string | null;
  refusal?: string | null;
  reasoning?: string | null;
  timings: { answer_ms?: number };
  image: { id: string; window: number[] | null };
  error?: { message: string; request_id: string };
}

/** The words of an answer with its confidence, or the reason for which there are none. */
export function resultLine(answer: Pick<Answer, "text" | "refusal" | "confidence">, kind = "text"): HTMLElement {
  const words = answer.refusal ? `The model refused: ${answer.refusal}` : answer.text || "no text";
  const strong = make("strong", { class: answer.refusal || !answer.text ? "text failed" : kind }, words);
  return make("p", { class: "result" }, strong, " ", ...confidenceBar(answer.confidence));
}

/** Sentences about an answer that isn't complete, or has no value. */
export function limits(answer: Pick<Answer, "answer" | "finish_reason" | "refusal">): HTMLElement[] {
  const { finish_reason: reason, refusal } = answer;
  const type = answer.answer?.type ?? "text";
  const sentences = [];
  if (reason === "length") sentences.push("The answer is cut off: it reached the maximum number of tokens.");
  else if (reason === "content_filter") sentences.push("The worker's content filter ended the answer.");
  if (!refusal && !reason?.match(/length|filter/) && answer.answer?.value === null && type !== "text") {
    sentences.push(`The text has no ${type === "integer" ? "number" : type === "boolean" ? "yes or no" : type}.`);
  }
  return sentences.map((sentence) => make("p", { class: "warning" }, `⚠ ${sentence}`));
}

/** The words that a model wrote before its answer. */
export function reasoningOf(answer: Answer): HTMLElement[] {
  if (!answer.reasoning) return [];
  return [make("details", {}, make("summary", {}, "Reasoning"), make("p", { class: "reasoning" }, answer.reasoning))];
}

/** A bar and a number; nothing if the worker gave no probabilities. */
export function confidenceBar(confidence: number | null | undefined): Node[] {
  if (confidence === null || confidence === undefined) return [];
  const title = "Probability that the model gave to its answer. It isn't calibrated: it doesn't say how often the model is right.";
  const bar = make("meter", { min: 0, max: 1, value: confidence, "aria-label": "Confidence, not calibrated" });
  return [make("span", { class: "confidence", title }, bar, ` ${confidence.toFixed(2)}`)];
}
