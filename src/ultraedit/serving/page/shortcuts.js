// Keys that work anywhere on the page.
import { stop } from "./ask.js";
import { byId } from "./dom.js";
import { openHelp } from "./dialogs.js";
import { undoLast } from "./going-back.js";
import { closeNewest } from "./notices.js";
import { show, showAsk } from "./tabs.js";

const SINGLE = "ultraedit-single-keys";

/** Whether single keys are shortcuts; speech input needs them off. */
const single = {
  get() {
    try {
      return localStorage.getItem(SINGLE) !== "off";
    } catch {
      return true; // storage is switched off
    }
  },
  set(on) {
    try {
      localStorage.setItem(SINGLE, on ? "on" : "off");
    } catch {
      // storage is switched off: they stay on
    }
  },
};

export function startShortcuts({ edit }) {
  const go = {
    "/": () => {
      showAsk();
      byId("question").focus();
    },
    e: () => edit("one"),
    t: () => edit("table"),
    h: () => panel("history"),
    c: () => panel("health"),
    u: () => undoLast(),
    "?": () => openHelp(single),
  };
  byId("open-help").addEventListener("click", () => openHelp(single));
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return; // the dialog has the keys
    if (event.key === "Escape") {
      if (stop() || closeNewest()) event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !single.get()) return;
    if (event.target.closest("input:not([type=radio], [type=checkbox]), textarea, select")) return;
    const run = go[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  });
}

function panel(name) {
  show(name);
  byId(name).focus();
}
