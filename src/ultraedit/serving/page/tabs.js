// Which part is shown.  On wide screens the questions are always there, beside one panel; on narrow ones they are a tab.
import { byId } from "./dom.js";

const NAMES = ["ask", "edit", "history", "health"];
const narrow = matchMedia("(max-width: 979px)");
let shown = "edit";

export function startTabs() {
  for (const name of NAMES) {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => show(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const usable = narrow.matches ? NAMES : NAMES.slice(1);
      const next = usable[(usable.indexOf(name) + step + usable.length) % usable.length];
      show(next);
      byId(`tab-${next}`).focus();
    });
  }
  narrow.addEventListener("change", draw);
  shown = narrow.matches ? "ask" : "edit";
  draw();
}

export function show(name) {
  shown = name;
  draw();
}

/** Bring the answers into view, where they are not already. */
export function showAsk() {
  if (narrow.matches) show("ask");
}

function draw() {
  if (!narrow.matches && shown === "ask") shown = "edit";
  for (const name of NAMES) {
    const chosen = name === shown;
    const tab = byId(`tab-${name}`);
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    byId(name).hidden = !chosen && !(name === "ask" && !narrow.matches);
  }
  const ask = byId("ask");
  if (narrow.matches) {
    ask.setAttribute("role", "tabpanel");
    ask.setAttribute("aria-labelledby", "tab-ask");
  } else {
    ask.removeAttribute("role");
    ask.removeAttribute("aria-labelledby");
  }
  document.body.dataset.tab = shown;
}
