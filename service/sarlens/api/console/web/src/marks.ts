// Answers that you marked wrong, with a note: kept in this browser, and exported with the answers.
import { make } from "./dom";

const NAME = "sarlens-marks";

function read(): Record<string, string> {
  try {
    return JSON.parse(localStorage.getItem(NAME) ?? "{}") as Record<string, string>;
  } catch {
    return {};
  }
}

/** The note of an answer that is marked wrong, which can be empty. */
export function markOf(answer: string): string | undefined {
  return read()[answer];
}

/** What an export says of an answer: nothing if it isn't marked. */
export function markProperties(answer: string): { marked_wrong?: true; note?: string } {
  const note = markOf(answer);
  return note === undefined ? {} : { marked_wrong: true, note };
}

function setMark(answer: string, note: string | undefined): void {
  const marks = read();
  if (note === undefined) delete marks[answer];
  else marks[answer] = note;
  localStorage.setItem(NAME, JSON.stringify(marks));
}

/** A button that marks an answer wrong, and the field of its note. */
export function markControl(answer: string, name: string): HTMLElement {
  const note = make("input", { "aria-label": `Note: what is right for ${name}`, placeholder: "what is right?", maxlength: 500 });
  const button = make("button", { type: "button", class: "mark", "aria-label": `Mark the answer to ${name} wrong` }, "✗ wrong");
  const show = (): void => {
    const mark = markOf(answer);
    button.setAttribute("aria-pressed", String(mark !== undefined));
    note.hidden = mark === undefined;
    note.value = mark ?? "";
  };
  button.addEventListener("click", () => {
    setMark(answer, markOf(answer) === undefined ? "" : undefined);
    show();
    if (!note.hidden) note.focus();
  });
  note.addEventListener("input", () => setMark(answer, note.value));
  show();
  return make("span", { class: "marking" }, button, note);
}
