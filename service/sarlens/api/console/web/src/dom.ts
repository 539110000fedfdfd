// The few helpers that this page needs in place of a framework.

/** The element with an id, which the page always has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

type Properties = Record<string, string | number | boolean | ((event: Event) => void) | undefined>;

/** Create an element. A function is a listener of the event that the property names; texts are never parsed as HTML. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** Call `action` once `delay_ms` have passed without another call. */
export function debounce(action: () => void, delay_ms: number): () => void {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(action, delay_ms);
  };
}

/** Run `action` when a menu has a choice, then show its title again. */
export function onChoice(menu: HTMLSelectElement, action: (choice: string) => void): void {
  menu.addEventListener("change", () => {
    const choice = menu.value;
    menu.value = "";
    if (choice) action(choice);
  });
}

/** Say something that needs no reaction. */
export function toast(text: string): void {
  const place = byId("toast");
  place.textContent = text;
  place.classList.add("shown");
  window.setTimeout(() => place.classList.remove("shown"), 3000);
}

export async function copyText(text: string, name: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${name} copied.`);
  } catch {
    // Without a secure context there is no clipboard: a field to copy from.
    const field = make("textarea", { rows: 12, readonly: true, "aria-label": name });
    field.value = text;
    const close = make("button", {}, "Close");
    const dialog = make("dialog", { "aria-label": name }, make("form", { method: "dialog" }, field, close));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    field.select();
  }
}

export function download(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  make("a", { href: url, download: name }).click();
  window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
