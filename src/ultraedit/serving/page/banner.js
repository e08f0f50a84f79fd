// The top line: which model, at which version, how healthy, what it is doing.
import { byId, h } from "./dom.js";
import { count, versionWords } from "./numbers.js";
import { onChange, path } from "./state.js";

const THEME = "ultraedit-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

export function startBanner() {
  onChange(draw);
  themeButton();
}

function fact(name, ...value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function draw(state) {
  const health = path().findLast((row) => row.health)?.health;
  const up = state.connection === "up";
  byId("facts").replaceChildren(
    ...(up
      ? [
          fact("Model", h("strong", { class: "model", title: state.model }, state.model)),
          fact("Version", h("span", { class: "version", title: state.version }, versionWords(state.version))),
          fact("Health", level(health?.level ?? "none")),
          fact("Queue", queue(state)),
        ]
      : [fact("Server", { gone: "no answer", locked: "locked", starting: "loading the model", refused: "refuses", connecting: "…" }[state.connection])]),
  );
  document.title = up ? `${state.model} · ultraedit` : "ultraedit";
  running(state);
}

export function level(word) {
  const said = { green: "well", amber: "watch it", red: "ill", none: "not read" }[word];
  return h("span", { class: `level ${word}` }, said);
}

function queue(state) {
  if (!state.running) return state.waiting ? `${state.waiting} waiting` : "idle";
  return state.waiting ? `writing, ${state.waiting} waiting` : "writing";
}

function running(state) {
  const bar = byId("running");
  bar.hidden = !state.running;
  if (!state.running) return;
  const { what, done, of, edits } = state.running;
  const words = `${what || "A change"} runs${edits ? `: ${count(edits, "fact")}` : ""}${of ? `, step ${done} of ${of}` : ""}`;
  bar.replaceChildren(
    h("span", {}, words),
    h("progress", of ? { max: of, value: done, "aria-label": words } : { "aria-label": words }),
  );
}

function themeButton() {
  const button = byId("theme");
  const get = () => document.documentElement.dataset.theme ?? "system";
  const words = () => {
    const now = get();
    button.textContent = { system: "◐ Auto", light: "○ Light", dark: "● Dark" }[now];
    button.setAttribute("aria-label", `Colours: ${now === "system" ? "as the system" : now}; change`);
  };
  button.addEventListener("click", () => {
    const next = NEXT[get()];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem(THEME, next);
    } catch {
      // storage is switched off: the choice holds until the page is closed
    }
    words();
  });
  words();
}
