// Messages at the top of the page: what the connection is like, and how an action ended.
import { byId, h, say } from "./dom.js";
import { onChange } from "./state.js";

const GOOD_MS = 8000;
const AT_MOST = 3;

const connection = h("div", { class: "notice", role: "alert", hidden: true });

/** Show a sentence until it is closed; good news goes by itself. */
export function notice(sentence, kind = "bad") {
  const close = () => item.remove();
  const item = h(
    "div",
    { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" },
    h("p", {}, sentence),
    h("button", { type: "button", class: "quiet close", "aria-label": "Close this message", onclick: close }, "×"),
  );
  byId("notices").append(item);
  const shown = byId("notices").querySelectorAll(".notice:not(.connection)");
  if (shown.length > AT_MOST) shown[0].remove();
  if (kind === "good") setTimeout(close, GOOD_MS);
  return item;
}

/** Close the newest message; false if there is none. */
export function closeNewest() {
  const newest = [...byId("notices").querySelectorAll(".notice:not(.connection)")].at(-1);
  newest?.remove();
  return Boolean(newest);
}

/** A place for the one problem of a form: `show(sentence)`, `clear()`. */
export function problem() {
  const element = h("p", { class: "problem", role: "alert", hidden: true });
  return {
    element,
    show(sentence) {
      element.textContent = sentence;
      element.hidden = false;
    },
    clear() {
      element.textContent = "";
      element.hidden = true;
    },
  };
}

export function startNotices(openKey) {
  connection.classList.add("connection");
  byId("notices").append(connection);
  let shown = "connecting";
  onChange((state) => {
    const now = `${state.connection} ${state.trouble}`;
    if (now === shown) return;
    if (state.connection === "up" && shown !== "connecting ") say("The server answers.");
    shown = now;
    connection.replaceChildren(...words(state, openKey));
    connection.hidden = state.connection === "up" || state.connection === "connecting";
    connection.classList.toggle("bad", state.connection === "gone" || state.connection === "refused");
  });
}

function words({ connection: kind, trouble }, openKey) {
  if (kind === "gone")
    return [
      h("p", {}, `The server at ${location.host} does not answer; the page tries again by itself, and nothing that was written is lost.`),
    ];
  if (kind === "locked")
    return [
      h("p", {}, trouble),
      h("button", { type: "button", onclick: openKey }, "Give the key"),
    ];
  return [h("p", {}, trouble)];
}
