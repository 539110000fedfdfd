// Errors: the gateway's own sentence, with the request id and a button to copy both.
import { ApiError } from "./api";
import { byId, copyText, make } from "./dom";

export function showError(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const id = error instanceof ApiError ? error.requestId : "";
  const copy = make(
    "button",
    { type: "button", click: () => void copyText(id ? `${message} (request ${id})` : message, "Error") },
    "Copy",
  );
  const close = make("button", { type: "button", "aria-label": "Close the message", click: hideError }, "✕");
  const details = id ? [make("code", {}, `request ${id}`)] : [];
  const place = byId("alert");
  place.hidden = false;
  place.replaceChildren(make("p", {}, message), ...details, copy, close);
}

export function hideError(): void {
  byId("alert").hidden = true;
}
