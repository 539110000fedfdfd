// Keys of the page, unless you type in a field.
import { byId } from "./dom";
import { state } from "./link";
import type { SceneMap } from "./map";
import type { Plan } from "./plan";
import type { Selection } from "./selection";
import type { TilePanel } from "./tile_panel";

interface Parts {
  view: SceneMap;
  selection: Selection;
  plan: Plan;
  tile: TilePanel;
}

export function startKeyboard({ view, selection, plan, tile }: Parts): void {
  const actions: Record<string, () => void> = {
    b: () => selection.toggle("box"),
    p: () => selection.toggle("polygon"),
    s: () => plan.toggle(),
    o: () => byId("url").focus(),
    "/": () => byId("question").focus(),
    "?": () => byId<HTMLDialogElement>("help-dialog").showModal(),
    "[": () => tile.step(-1),
    "]": () => tile.step(1),
  };
  const moves: Record<string, [number, number]> = {
    ArrowLeft: [-1 / 8, 0],
    ArrowRight: [1 / 8, 0],
    ArrowUp: [0, -1 / 8],
    ArrowDown: [0, 1 / 8],
  };
  document.addEventListener(
    "keydown",
    (event) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.closest("dialog")) return;
      if (event.key === "Escape") {
        if (selection.isDrawing) selection.stop();
        else if (target.id === "map") view.showWhole();
        else byId("map").focus();
        return;
      }
      if (target.matches("input, textarea, select")) return;
      const move = moves[event.key];
      const action = actions[event.key.toLowerCase()];
      if (move && event.shiftKey && state().window) {
        event.preventDefault();
        event.stopPropagation();
        selection.nudge(...move);
      } else if (action) {
        event.preventDefault();
        action();
      }
    },
    { capture: true },
  );
  byId("help").addEventListener("click", () => byId<HTMLDialogElement>("help-dialog").showModal());
}
