// The OpenAPI document for the two documentation pages, with a form for the API key if the gateway requires one.
import { apiKey, setApiKey } from "./api_key";

interface ApiDocument {
  servers?: { url: string }[];
}

/** Add the API key of this tab to the headers of a request, unless the request has one. */
export function withKey(headers: Record<string, string>): Record<string, string> {
  const key = apiKey();
  return key && !headers["Authorization"] ? { ...headers, Authorization: `Bearer ${key}` } : headers;
}

/** Load the document of the gateway, or show why it can't be loaded. */
export async function loadDocument(): Promise<ApiDocument | undefined> {
  const response = await fetch("openapi.json", { headers: withKey({}) });
  if (response.ok) {
    const spec = (await response.json()) as ApiDocument;
    // Below a path of an ingress, the API is below that path too.
    spec.servers ??= [{ url: new URL(".", location.href).pathname.replace(/\/$/, "") || "/" }];
    return spec;
  }
  const form = document.querySelector("form");
  const field = form?.querySelector("input");
  if (response.status === 401 && form && field) {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      setApiKey(field.value.trim());
      location.reload();
    });
  } else {
    document.getElementById("document")?.append(`The document can't be loaded: ${response.status}.`);
  }
  return undefined;
}
