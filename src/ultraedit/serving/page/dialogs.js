// The three dialogs: the key, the shortcuts, and "are you sure".
import { byId, field, h } from "./dom.js";
import { hasKey, setKey } from "./server.js";
import { follow } from "./state.js";

function open(dialog, title, ...content) {
  dialog.replaceChildren(h("h2", { id: `${dialog.id}-title` }, title), ...content);
  if (!dialog.open) dialog.showModal(); // keeps the focus inside, closes on Escape, gives the focus back
}

/** Ask for the server's key. */
export function openKey() {
  const dialog = byId("key");
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", autofocus: true });
  const give = (event) => {
    event.preventDefault();
    setKey(input.value.trim());
    dialog.close();
    follow();
  };
  open(
    dialog,
    "Key",
    h("p", { class: "soft" }, "The read key asks; the admin key writes too. It is kept for this tab only and sent to this server only."),
    h(
      "form",
      { onsubmit: give },
      field("Key", input, hasKey() ? "A key is in use; what you give replaces it." : "The server printed it when it started."),
      h("div", { class: "actions" },
        h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: "main" }, "Use this key"),
      ),
    ),
  );
}

/**
 * Ask before something is done.  `choices` are [{value, label, hint}] (may be empty).
 * Resolves with the chosen value (true without choices), or null where the user goes back.
 */
export function confirm(title, sentence, button, choices = []) {
  // one of its own for every question: the end of the one before cannot be taken for the end of this one
  const dialog = h("dialog", { id: "confirm", "aria-labelledby": "confirm-title" });
  document.body.append(dialog);
  return new Promise((resolve) => {
    const form = h(
      "form",
      { method: "dialog" },
      h("p", {}, sentence),
      choices.map((choice, at) =>
        h("label", { class: "choice" },
          h("input", { type: "radio", name: "choice", value: choice.value, checked: at === 0 }),
          h("span", {}, h("strong", {}, choice.label), h("span", { class: "hint" }, choice.hint)),
        ),
      ),
      h("div", { class: "actions" },
        h("button", { type: "button", class: "quiet", onclick: () => dialog.close("") }, "Go back"),
        h("button", { type: "submit", class: "main", value: "yes", autofocus: true }, button),
      ),
    );
    const closed = () => {
      dialog.remove();
      const value = choices.length ? new FormData(form).get("choice") : true;
      resolve(dialog.returnValue === "yes" ? value : null);
    };
    dialog.addEventListener("close", closed, { once: true });
    open(dialog, title, form);
  });
}

const SHORTCUTS = [
  ["/", "ask a question"],
  ["e", "edit a fact"],
  ["t", "edit a table of facts"],
  ["h", "history"],
  ["c", "health curves"],
  ["u", "undo the last edit (asks first)"],
  ["?", "this list"],
  ["Enter", "ask (Shift+Enter: a new line)"],
  ["Ctrl+Enter", "write the fact or the table"],
  ["Esc", "stop the answers, close a message or a dialog"],
];

/** The list of shortcuts; `single` reads and sets whether keys without Ctrl are shortcuts. */
export function openHelp(single) {
  const dialog = byId("help");
  const box = h("input", { type: "checkbox", onchange: () => single.set(box.checked) });
  box.checked = single.get();
  open(
    dialog,
    "Keyboard",
    h("dl", { class: "shortcuts" }, SHORTCUTS.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
    h("label", { class: "check" }, box, " Single keys are shortcuts (outside text fields)"),
    h("div", { class: "actions" },
      h("button", { type: "button", class: "main", autofocus: true, onclick: () => dialog.close() }, "Close"),
    ),
  );
}
