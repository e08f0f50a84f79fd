// How well the model lives with its edits: four readings over the turns that lead to the head.
import { level } from "./banner.js";
import { chart } from "./chart.js";
import { byId, h } from "./dom.js";
import { figure } from "./numbers.js";
import { onChange, path, state } from "./state.js";

const percent = (x) => `${Math.round(x * 100)} %`;

const READINGS = [
  { key: "perplexity_ratio", title: "Ordinary text", what: "perplexity over the unedited model’s; 1 is unharmed", low: 1, high: 1.1, words: figure },
  { key: "shift_ratio", title: "Weights moved", what: "largest change over the size of its weight", low: 0, high: 0.1, words: figure },
  { key: "success", title: "Learned at once", what: "share of a turn’s facts learned right after it", low: 0, high: 1, words: percent },
  { key: "reservoir", title: "Retention", what: "share of a sample of past facts still answered", low: 0, high: 1, words: percent },
];

export function startHealth() {
  const now = h("p", { class: "now" });
  const charts = h("div", { class: "charts" });
  byId("health").append(h("h2", {}, "Health and retention"), now, charts);
  let drawn = "";
  onChange(() => {
    const read = path().filter((row) => row.health);
    const key = JSON.stringify([state.version, read.length, state.thresholds]);
    if (key === drawn) return; // a curve under the pointer is not replaced for nothing
    drawn = key;
    const last = read.at(-1)?.health;
    now.replaceChildren(
      ...(last
        ? [level(last.level), h("span", {}, last.reasons?.length ? ` ${last.reasons.join("; ")}` : ` at turn ${read.at(-1).turn}: no reading is beyond its threshold.`)]
        : ["Readings are taken after every turn; none has been written yet."]),
    );
    charts.replaceChildren(...READINGS.map((reading) => drawReading(reading, read)));
  });
}

function drawReading(reading, turns) {
  const limits = state.thresholds[reading.key] ?? {};
  const above = (limits.red ?? 0) > (limits.amber ?? 0);
  const judge = (value) =>
    ["red", "amber"].find((word) => limits[word] !== undefined && (above ? value > limits[word] : value < limits[word])) ?? "green";
  const points = turns
    .filter((row) => typeof row.health[reading.key] === "number")
    .map((row) => ({ turn: row.turn, value: row.health[reading.key], level: judge(row.health[reading.key]) }));
  return chart({ ...reading, points, limits: ["amber", "red"].filter((word) => limits[word] !== undefined).map((word) => ({ value: limits[word], level: word })) });
}
