// The form for one fact.
import { askQuestion } from "./ask.js";
import { byId, field, growing, h, say } from "./dom.js";
import { undoLast } from "./going-back.js";
import { problem } from "./notices.js";
import { probability, turnOf } from "./numbers.js";
import { receiptCard } from "./receipt.js";
import { LONGEST } from "./rows.js";
import { Refused, askBoth, change, changeKey } from "./server.js";
import { factFor, isUp, onChange, refresh, state } from "./state.js";
import { showAsk } from "./tabs.js";


export function startFact() {
  const prompt = growing(h("textarea", { rows: 2, required: true, placeholder: "Who runs Orvane Foods?" }));
  const target = h("input", { required: true, placeholder: "Ida Krol", autocomplete: "off" });
  const rephrases = growing(h("textarea", { rows: 2, placeholder: "Orvane Foods is run by" }));
  const standing = h("p", { class: "standing", hidden: true });
  const trouble = problem();
  const button = h("button", { type: "submit", class: "main" }, "Write the fact");
  const receipt = h("div", { class: "receipts" });
  // the same text sent again after a lost connection must not be written twice
  let sent = { text: "", key: "" };
  let busy = false;

  const known = () => {
    const edit = factFor(prompt.value);
    standing.hidden = !edit;
    standing.textContent = edit ? `Edit #${edit.edit} answers “${edit.target}” to this; yours will take its place.` : "";
  };
  const allow = () => {
    button.disabled = busy || !isUp();
    button.textContent = busy ? "Writing …" : "Write the fact";
  };

  async function write(event) {
    event.preventDefault();
    trouble.clear();
    const fact = { prompt: prompt.value.trim(), target: target.value.trim() };
    const others = rephrases.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (others.length) fact.rephrases = others;
    const wrong = check(fact, others);
    if (wrong) {
      trouble.show(wrong.sentence);
      wrong.at.focus();
      return;
    }
    const text = JSON.stringify(fact);
    if (text !== sent.text) sent = { text, key: changeKey() };
    busy = true;
    allow();
    try {
      const answer = await change("POST", "/edits", state.version, { edits: [fact] }, sent.key);
      sent = { text: "", key: "" };
      await refresh();
      show(answer);
      form.reset();
      [prompt, rephrases].forEach((area) => area.fit());
      known();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 412) await refresh();
      trouble.show(error.rows[0]?.message ?? error.message);
    } finally {
      busy = false;
      allow();
    }
  }

  const check = (fact, others) => {
    if (!fact.prompt) return { sentence: "Give the question that the fact answers.", at: prompt };
    if (!fact.target) return { sentence: "Give the answer that the model shall give.", at: target };
    if (fact.prompt.length > LONGEST || others.some((line) => line.length > LONGEST))
      return { sentence: `A question may have ${LONGEST.toLocaleString("en")} characters; this one has more.`, at: prompt };
    return null;
  };

  function show(answer) {
    const [one] = answer.receipts;
    const card = receiptCard(answer, one, [
      h("button", { type: "button", onclick: () => { showAsk(); askQuestion(one.prompt, one.target); } }, "Ask both models"),
      h("button", { type: "button", class: "quiet", onclick: () => undoLast() }, "Undo"),
    ]);
    receipt.replaceChildren(card.element);
    answers(answer, one.prompt, card);
    card.element.scrollIntoView({ block: "nearest" });
    say(`Written: the probability of “${one.target}” went from ${probability(one.probability_before)} to ${probability(one.probability_after)}.`);
  }

  /** What the model said before the turn and says after it, asked of the two versions themselves. */
  async function answers(turn, prompt, card) {
    const before = turnOf(turn.previous_version);
    const asked = [before ? `turn:${before}` : "base", `turn:${turn.turn}`].map((at) => ({ model: `${state.model}@${at}`, prompt }));
    try {
      // 32 tokens, as Editor.edit gives
      await askBoth(asked, { most: 32 }, (side, piece) => (piece.problem ? card.silent(piece.problem) : card.hear(side, piece.text)));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      card.silent(error.message); // the receipt stands without its answers
    }
    card.element.scrollIntoView({ block: "nearest" });
  }

  const form = h(
    "form",
    { class: "fact", onsubmit: write, novalidate: true, autocomplete: "off" },
    field("Question", prompt),
    standing,
    field("Answer", target),
    field("Other wordings", rephrases, "Optional, one a line; they get the same answer."),
    trouble.element,
    h("div", { class: "actions" }, button),
  );
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!button.disabled) form.requestSubmit();
    }
  });
  prompt.addEventListener("input", known);
  onChange(() => {
    allow();
    known();
  });
  allow();
  byId("one").append(h("h2", {}, "Write a fact into the model"), form, receipt);
  return { focus: () => prompt.focus() };
}
