// What an edit did: texts before and after, probabilities, health.
import { level } from "./banner.js";
import { bar, h } from "./dom.js";
import { figure, probability, seconds, versionWords } from "./numbers.js";

/** "0.02 → 0.80" with a bar that shows both. */
export function shift(before, after, target) {
  return h(
    "span",
    { class: "shift", title: `probability of “${target}”: ${before} before, ${after} after` },
    h("span", { class: "unseen" }, `probability of the answer: ${probability(before)} before, ${probability(after)} after`),
    h("span", { class: "value", "aria-hidden": true }, probability(before), h("span", { class: "arrow" }, " → "), h("strong", {}, probability(after))),
    bar(after),
  );
}

/**
 * One written fact in full.  `answer` is the server's answer to the turn; `hear(0 or 1, text)` adds to what the model
 * said before and after, `silent(why)` says why it says nothing.
 */
export function receiptCard(answer, receipt, actions) {
  const texts = [h("span", { class: "before" }), h("strong", {})];
  const moved = Math.max(0, ...Object.values(receipt.moved ?? {}));
  const row = (name, ...value) => [h("dt", {}, name), h("dd", {}, value)];
  const element = h(
    "section",
    { class: "receipt", "aria-label": "Receipt", tabindex: "-1" },
    h("header", {},
      h("h3", {}, receipt.superseded_by ? "Superseded in the same turn" : receipt.learned ? "Written and learned" : "Written, not quite learned"),
      h("span", { class: "version", title: answer.weight_version }, versionWords(answer.weight_version))),
    h("p", { class: "prompt" }, receipt.prompt),
    h("dl", {},
      row("Before", texts[0]),
      row("After", texts[1]),
      row(h("span", {}, "p(", h("q", {}, receipt.target), ")"), shift(receipt.probability_before, receipt.probability_after, receipt.target)),
      answer.health ? row("Health", level(answer.health.level), reasons(answer.health)) : null,
      row("Cost", `${seconds(receipt.seconds)}, weights moved by ${figure(moved)} of their size`),
    ),
    h("div", { class: "actions" }, actions),
  );
  return {
    element,
    hear(side, text) {
      texts[side].append(text);
    },
    silent(why) {
      for (const text of texts) if (!text.textContent) text.replaceChildren(h("span", { class: "hint" }, why));
    },
  };
}

export function reasons(health) {
  return health.reasons?.length ? h("span", { class: "hint" }, health.reasons.join("; ")) : null;
}
