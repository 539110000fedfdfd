// The API key: in the storage of this tab only, and never in a link, a cookie or the storage of the browser.
const NAME = "sarlens-api-key";

export function apiKey(): string {
  return sessionStorage.getItem(NAME) ?? "";
}

export function setApiKey(key: string): void {
  if (key) sessionStorage.setItem(NAME, key);
  else sessionStorage.removeItem(NAME);
}
