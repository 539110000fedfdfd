// Requests to the gateway that served this page. Every error is the gateway's own sentence.
import { apiKey } from "./api_key";

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly requestId: string,
  ) {
    super(message);
  }
}

type Params = Record<string, string | number | undefined>;

/** An URL below the gateway, also behind an ingress with a path. */
export function apiUrl(path: string, params: Params = {}): string {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

/** Send a request; a status that isn't a success raises ApiError. */
export async function send(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = apiKey();
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The gateway doesn't answer.", 0, "");
  }
  if (response.ok) return response;
  throw await toError(response);
}

async function toError(response: Response): Promise<ApiError> {
  const requestId = response.headers.get("X-Request-Id") ?? "";
  let message = `The gateway answered with status ${response.status}.`;
  try {
    const document = (await response.json()) as { error?: { message?: string } };
    message = document.error?.message ?? message;
  } catch {
    // A proxy's page.
  }
  const reason = apiKey() ? message : "This gateway requires an API key.";
  if (response.status === 401) window.dispatchEvent(new CustomEvent("key-required", { detail: reason }));
  return new ApiError(message, response.status, requestId);
}

export async function getJson<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
  const response = await send(apiUrl(path, params), signal ? { signal } : {});
  return (await response.json()) as T;
}

export function postJson(path: string, body: object, headers: HeadersInit, signal?: AbortSignal): Promise<Response> {
  const init: RequestInit = { method: "POST", body: JSON.stringify(body) };
  init.headers = { "Content-Type": "application/json", ...headers };
  if (signal) init.signal = signal;
  return send(apiUrl(path), init);
}

/** The records of a streamed response, as they arrive. */
export async function* records(response: Response, separator: string): AsyncGenerator<string> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (reader) {
    const { done, value } = await reader.read();
    const parts = (rest + (value ?? "")).split(separator);
    rest = done ? "" : (parts.pop() ?? "");
    for (const part of parts) if (part.trim()) yield part;
    if (done) return;
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
