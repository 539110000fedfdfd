// The menu of models. A gateway that has no worker yet is asked again until it has one.
import { getJson } from "./api";
import { byId, make } from "./dom";
import { change, state } from "./link";

const RETRY_MS = 3000;
let names: string[] = [];
let timer = 0;

/** Load the names of the models; the first one is chosen if the link has none, or one that isn't served. */
export async function loadModels(): Promise<void> {
  window.clearTimeout(timer);
  const { data } = await getJson<{ data: { id: string }[] }>("v1/models");
  names = data.map(({ id }) => id);
  if (names.length === 0) timer = window.setTimeout(() => void loadModels().catch(() => undefined), RETRY_MS);
  else if (!names.includes(state().model)) change({ model: names[0] ?? "" }, "replace");
  showModel();
}

/** Show the model of the link. */
export function showModel(): void {
  const menu = byId<HTMLSelectElement>("model");
  const options = names.map((name) => make("option", { value: name }, name));
  menu.replaceChildren(...(names.length ? options : [make("option", { value: "" }, "no model ready")]));
  menu.value = names.length ? state().model : "";
  byId("no-model").hidden = names.length > 0;
}
