// Every edit ever, by turn, newest first; from here it is undone, taken out, marked and rolled back.
import { askQuestion } from "./ask.js";
import { level } from "./banner.js";
import { byId, field, h } from "./dom.js";
import { dropMark, rollbackTo, setMark, undoLast, undoOne } from "./going-back.js";
import { notice, problem } from "./notices.js";
import { count, seconds, time } from "./numbers.js";
import { shift } from "./receipt.js";
import { Refused, olderEdits } from "./server.js";
import { isUp, onChange, path, state, tell } from "./state.js";
import { showAsk } from "./tabs.js";

const KEPT = "healthy"; // set by the program itself
const NAME = /^[\p{L}_][\p{L}\p{N}_.-]{0,63}$/u;
const TAKEN = ["base", "head", KEPT];

export function startHistory() {
  const panel = byId("history");
  const found = h("input", { type: "search", placeholder: "Find in questions and answers" });
  const list = h("div", { class: "turns" });
  const top = h("div", { class: "actions left" });
  const marks = h("div", { class: "marks" });
  const draw = () => {
    redraw(top, undoButtons());
    redraw(marks, markLine());
    redraw(list, turnList(found.value.trim().toLowerCase()));
  };
  found.addEventListener("input", draw);
  panel.append(
    h("h2", {}, "History"),
    top,
    marks,
    markForm(),
    field("Find", found),
    list,
  );
  onChange(draw);
}

/** Replace what is in a container and leave the focus on the same button. */
function redraw(container, nodes) {
  const key = container.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  container.replaceChildren(...nodes);
  if (key) container.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

function act(key, words, onclick, properties = {}) {
  return h("button", { type: "button", "data-key": key, onclick, disabled: !isUp(), ...properties }, words);
}

function undoButtons() {
  const last = path().findLast((row) => row.edits);
  if (!last) return [];
  return [
    act("undo-1", "Undo the last edit", () => undoLast()),
    last.edits > 1 ? act("undo-turn", `Undo turn ${last.turn} (${last.edits})`, () => undoLast(true)) : "",
  ];
}

function markLine() {
  return state.marks.map((mark) =>
    h("span", { class: "mark" },
      h("strong", {}, mark.name),
      h("span", { class: "soft" }, mark.turn ? `turn ${mark.turn}` : "base"),
      mark.turn === state.head
        ? h("span", { class: "soft" }, "here")
        : act(`go-${mark.name}`, "Roll back", () => rollbackTo(mark.name, `the mark ${mark.name}`), { class: "quiet", "aria-label": `Roll back to the mark ${mark.name}` }),
      mark.name === KEPT ? "" : act(`drop-${mark.name}`, "×", () => dropMark(mark.name), { class: "quiet close", "aria-label": `Remove the mark ${mark.name}` }),
    ),
  );
}

function markForm() {
  const name = h("input", { placeholder: "Name this state", maxlength: 64, autocomplete: "off", "aria-label": "Name of the mark" });
  const trouble = problem();
  const give = async (event) => {
    event.preventDefault();
    trouble.clear();
    const wanted = name.value.trim();
    if (!NAME.test(wanted) || TAKEN.includes(wanted)) {
      trouble.show(`A mark’s name is letters, digits, “.”, “_” and “-”, begins with a letter, and is not base, head or healthy; found “${wanted}”.`);
      name.focus();
      return;
    }
    if (await setMark(wanted)) name.value = "";
  };
  return h("form", { class: "mark-form", onsubmit: give },
    h("div", { class: "together" }, name, h("button", { type: "submit" }, "Mark it")), trouble.element);
}

function turnList(wanted) {
  const here = new Set(path().map((row) => row.turn));
  const edits = Map.groupBy ? Map.groupBy(state.edits, (edit) => edit.turn) : grouped(state.edits);
  const oldest = state.moreEdits ? Math.min(...edits.keys()) : 0;
  const shown = [];
  for (const row of [...state.turns].sort((a, b) => b.turn - a.turn)) {
    if (row.turn < oldest) break;
    const own = (edits.get(row.turn) ?? []).filter(
      (edit) => !wanted || `${edit.prompt} ${edit.target} #${edit.edit}`.toLowerCase().includes(wanted),
    );
    if (wanted && !own.length) continue;
    shown.push(turnCard(row, own, here.has(row.turn)));
  }
  if (!shown.length)
    return [h("p", { class: "empty-line" }, wanted ? `No edit has “${wanted}” in it.` : isUp() ? "Nothing has been written yet: the model is the unedited one." : "")];
  if (state.moreEdits) shown.push(act("older", "Show older edits", older));
  if (!wanted && !state.moreEdits)
    shown.push(h("section", { class: "turn base" }, h("header", {}, h("h3", {}, "Base"), h("span", { class: "soft" }, "the unedited model"),
      state.head ? act("go-0", "Roll back", () => rollbackTo("base", "the base"), { class: "quiet", "aria-label": "Roll back to the base" }) : h("span", { class: "here" }, "here"))));
  return shown;
}

function grouped(edits) {
  const found = new Map();
  for (const edit of edits) found.set(edit.turn, [...(found.get(edit.turn) ?? []), edit]);
  return found;
}

async function older() {
  try {
    const found = await olderEdits(state.edits.at(-1).edit);
    state.edits.push(...found.edits);
    state.moreEdits = found.more;
    tell();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message);
  }
}

function turnCard(row, edits, inForce) {
  const named = state.marks.filter((mark) => mark.turn === row.turn);
  const place = row.turn === state.head
    ? h("span", { class: "here" }, "here")
    : act(`go-${row.turn}`, "Roll back", () => rollbackTo(row.turn, `turn ${row.turn}`), { class: "quiet", "aria-label": `${inForce ? "Roll back" : "Go"} to turn ${row.turn}` });
  return h("section", { class: `turn${inForce ? "" : " gone"}`, "aria-label": `Turn ${row.turn}` },
    h("header", {},
      h("h3", {}, `Turn ${row.turn}`),
      named.map((mark) => h("span", { class: "tag" }, mark.name)),
      row.health ? level(row.health.level) : "",
      h("span", { class: "soft" }, row.kind === "subtract" ? `took out ${row.removes.map((n) => `#${n}`).join(", ")}` : count(row.edits, "edit"),
        row.seconds ? `, ${seconds(row.seconds)}` : "", `, ${time(row.time)}`),
      place),
    edits.length ? h("ol", {}, [...edits].sort((a, b) => b.edit - a.edit).map(editLine)) : null,
  );
}

function editLine(edit) {
  const current = edit.status === "current";
  const words = edit.superseded_by_edit ? `${edit.status} by #${edit.superseded_by_edit}` : edit.status;
  return h("li", { class: `edit ${edit.status}` },
    h("div", { class: "what" },
      h("span", { class: "number" }, `#${edit.edit}`),
      h("span", { class: "prompt" }, edit.prompt),
      h("span", { class: "target" }, edit.target)),
    h("div", { class: "how" },
      shift(edit.probability_before, edit.probability_after, edit.target),
      current ? "" : h("span", { class: "tag" }, words),
      h("span", { class: "deeds" },
        act(`ask-${edit.edit}`, "Ask", () => { showAsk(); askQuestion(edit.prompt, edit.target); }, { class: "quiet", "aria-label": `Ask both models: ${edit.prompt}` }),
        edit.status === "undone" || edit.status === "removed" ? "" : act(`out-${edit.edit}`, "Take out", () => undoOne(edit), { class: "quiet", "aria-label": `Take out edit ${edit.edit}` }))),
  );
}
