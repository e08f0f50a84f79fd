// Original beside edited: one question, two answers that stream together.
import { bar, byId, growing, h, say } from "./dom.js";
import { compare } from "./diff.js";
import { notice } from "./notices.js";
import { probability, versionWords } from "./numbers.js";
import { Refused, askBoth } from "./server.js";
import { factFor, isUp, onChange, settled, state } from "./state.js";

const NAMES = ["Original", "Edited"];
/** What each side answers with: "base", "" for the head, or a mark or "turn:N". */
const chosen = ["base", ""];
/** Each side remembers its own answers, so that neither hears of the other's. */
let messages = [[], []];
let asking = null;
/** The answer that was filled in to be watched; what the user writes there stays. */
let filled = "";

export function startAsk() {
  const question = growing(byId("question"));
  const watched = byId("watched");
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (asking) stop();
    else ask(question.value, watched.value);
  });
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!asking) ask(question.value, watched.value);
  });
  question.addEventListener("input", () => {
    const target = factFor(question.value)?.target ?? "";
    if (watched.value === filled) watched.value = target;
    filled = target;
  });
  byId("fresh").addEventListener("click", () => {
    stop();
    messages = [[], []];
    byId("talk").replaceChildren(welcome());
    byId("question").focus();
  });
  byId("talk").append(welcome());
  onChange(() => {
    drawSides();
    if (!byId("talk").querySelector(".exchange")) byId("talk").replaceChildren(welcome());
  });
}

/** Put a question, as if it were typed. */
export function askQuestion(text, target = "") {
  byId("question").value = text;
  byId("watched").value = target;
  return ask(text, target);
}

/** Stop the answers that stream; false if none do. */
export function stop() {
  if (!asking) return false;
  asking.abort();
  return true;
}

function welcome() {
  const facts = state.edits.filter((edit) => edit.status === "current").slice(0, 3);
  const example = (text, target) =>
    h("button", { type: "button", class: "example", onclick: () => askQuestion(text, target) }, text);
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "Two answers to every question"),
    h("p", {}, "The original model and the edited one answer side by side; words that differ are marked."),
    facts.length
      ? h("div", { class: "examples", role: "group", "aria-label": "Questions about edited facts" },
          facts.map((edit) => example(edit.prompt, edit.target)))
      : h("p", { class: "soft" }, isUp() ? "Nothing is edited yet, so both will say the same. Write a fact, then ask." : ""),
  );
}

function drawSides() {
  const options = (side) => [
    ["", `now: ${versionWords(state.version)}`],
    ["base", "base"],
    ...state.marks.map((mark) => [mark.name, `${mark.name} (turn ${mark.turn})`]),
    ...(chosen[side].startsWith("turn:") ? [[chosen[side], chosen[side].replace(":", " ")]] : []),
  ];
  const focused = document.activeElement?.id;
  byId("sides").replaceChildren(
    ...NAMES.map((name, side) => {
      const select = h("select", { id: `side-${side}`, onchange: () => { chosen[side] = select.value; } },
        options(side).map(([value, words]) => h("option", { value, selected: value === chosen[side] }, words)));
      if (select.value !== chosen[side]) chosen[side] = select.value; // a mark that is gone
      return h("div", { class: `side side-${side}` }, h("label", { for: select.id }, name), select);
    }),
  );
  if (focused?.startsWith("side-")) byId(focused)?.focus();
}

async function ask(text, target) {
  const question = text.trim();
  if (!question) {
    byId("question").focus();
    return;
  }
  stop();
  await settled;
  if (!isUp()) {
    notice("The question was not asked, because the server does not answer just now.");
    return;
  }
  const mine = new AbortController();
  asking = mine;
  const exchange = new Exchange(question, target.trim());
  const talk = byId("talk");
  talk.querySelector(".empty")?.remove();
  talk.append(exchange.element);
  exchange.element.scrollIntoView({ block: "end" });
  byId("question").value = "";
  byId("watched").value = filled = "";
  byId("question").fit();
  byId("send").textContent = "Stop";
  try {
    const asked = chosen.map((at, side) => ({
      model: at ? `${state.model}@${at}` : state.model,
      // a model without a chat form goes on with a text, and remembers nothing
      ...(state.form === "chat" ? { messages: [...messages[side], { role: "user", content: question }] } : { prompt: question }),
    }));
    await askBoth(asked, { target: target.trim(), most: 160, signal: mine.signal }, (side, piece) => {
      const below = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
      exchange.hear(side, piece);
      if (below) talk.scrollTop = talk.scrollHeight;
    });
    exchange.finish();
  } catch (error) {
    if (error.name === "AbortError") exchange.finish("Stopped.");
    else if (error instanceof Refused) exchange.finish(error.message);
    else throw error;
  } finally {
    if (asking === mine) {
      asking = null;
      byId("send").textContent = "Ask";
    }
  }
  messages.forEach((list, side) => {
    if (exchange.texts[side]) list.push({ role: "user", content: question }, { role: "assistant", content: exchange.texts[side] });
  });
}

/** One question with its two answers on the page. */
class Exchange {
  constructor(question, target) {
    this.texts = ["", ""];
    this.done = [false, false];
    this.target = target;
    this.sides = NAMES.map((name, side) => {
      const text = h("div", { class: "text" });
      const version = h("span", { class: "version" });
      const watch = h("div", { class: "watching", hidden: true });
      const element = h("article", { class: `answer side-${side} growing`, "aria-label": `${name} model’s answer` },
        h("header", {}, h("h3", {}, name), version), text, watch);
      return { element, text, version, watch };
    });
    this.verdict = h("p", { class: "verdict" });
    this.element = h("section", { class: "exchange", "aria-label": "Question and answers" },
      h("p", { class: "asked" }, question),
      h("div", { class: "pair" }, this.sides.map((side) => side.element)),
      this.verdict,
    );
  }

  hear(side, piece) {
    const shown = this.sides[side];
    if (piece.version) {
      shown.version.textContent = versionWords(piece.version);
      shown.version.title = piece.version;
    }
    if (piece.probability !== undefined && piece.probability !== null) this.watch(shown, piece.probability);
    if (piece.text) this.texts[side] += piece.text;
    if (piece.problem) shown.element.append(h("p", { class: "problem" }, piece.problem));
    if (piece.done) {
      this.done[side] = true;
      shown.element.classList.remove("growing");
    }
    if (piece.text || piece.done) this.draw();
  }

  watch(shown, p) {
    const words = `probability of “${this.target}”`;
    shown.watch.hidden = false;
    shown.watch.replaceChildren(
      h("span", { class: "name" }, "p(", h("q", {}, this.target), ")"),
      bar(p, words),
      h("span", { class: "value", title: String(p) }, probability(p)),
    );
  }

  draw() {
    const growing = !(this.done[0] && this.done[1]);
    compare(...this.texts, growing).forEach((runs, side) => {
      this.sides[side].text.replaceChildren(
        ...runs.map((run) => (run.differs ? h("mark", {}, run.text) : run.text)),
      );
    });
  }

  finish(problem = "") {
    this.done = [true, true];
    for (const side of this.sides) side.element.classList.remove("growing");
    this.draw();
    if (problem) {
      this.verdict.classList.add("problem");
      this.verdict.textContent = problem;
      say(problem);
      return;
    }
    const differ = this.element.querySelectorAll("mark").length;
    const broken = this.element.querySelectorAll(".answer .problem").length;
    this.verdict.textContent = differ || broken ? "" : "Both say the same.";
    say(`Original: ${this.texts[0]} Edited: ${this.texts[1]}`);
  }
}
