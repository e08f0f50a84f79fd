// One small curve: points over turns, thresholds as dashed lines.  Drawn in real pixels, so that text keeps its size.
import { h, s } from "./dom.js";
import { figure } from "./numbers.js";

const HEIGHT = 132;
const LIMITS = { amber: "watch it", red: "ill" };
const EDGE = { top: 12, right: 12, bottom: 22, left: 44 };

/**
 * @param points [{turn, value, level}] in order of turns
 * @param limits [{value, level}] thresholds
 */
export function chart({ title, what, points, limits, low, high, words = figure }) {
  const figureBox = h("figure", { class: "chart" });
  const readout = h("span", { class: "readout" }, points.length ? words(points.at(-1).value) : "–");
  const plot = h("div", { class: "plot" });
  const table = h("details", {}, h("summary", {}, "As a table"),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Turn"), h("th", { scope: "col" }, title))),
      h("tbody", {}, points.map((point) => h("tr", {}, h("td", {}, point.turn), h("td", {}, words(point.value)))))));
  figureBox.append(h("figcaption", {}, h("span", {}, h("strong", {}, title), h("span", { class: "hint" }, what)), readout), plot, points.length ? table : "");
  if (!points.length) {
    plot.append(h("p", { class: "empty-line" }, "No reading yet."));
    return figureBox;
  }
  const draw = () => {
    const width = Math.max(plot.clientWidth, 200);
    plot.replaceChildren(curve({ title, points, limits, low, high, words, width, readout }));
  };
  new ResizeObserver(draw).observe(plot);
  return figureBox;
}

/** Round steps of 1, 2 or 5 that make two to four of a range. */
function step(range) {
  const raw = range / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= raw);
}

function curve({ title, points, limits, low, high, words, width, readout }) {
  const values = points.map((point) => point.value);
  const bottom = Math.min(low, ...values);
  const top = Math.max(high, ...values);
  // a threshold far above all readings would press the curve flat
  const near = limits.filter((limit) => limit.value >= bottom && limit.value <= top * 1.6);
  const highest = Math.max(top, ...near.map((limit) => limit.value));
  const size = step(highest - bottom);
  const ticks = Array.from({ length: Math.ceil((highest - bottom) / size - 1e-9) + 1 }, (_, at) => bottom + at * size);
  const ceiling = ticks.at(-1);
  const first = points[0].turn;
  const last = Math.max(points.at(-1).turn, first + 1);
  const x = (turn) => EDGE.left + ((turn - first) / (last - first)) * (width - EDGE.left - EDGE.right);
  const y = (value) => EDGE.top + (1 - (value - bottom) / (ceiling - bottom || 1)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const spoken = `${title}: ${words(values.at(-1))} at turn ${points.at(-1).turn}, between ${words(Math.min(...values))} and ${words(Math.max(...values))} over ${points.length} readings`;
  const cursor = s("line", { class: "cursor", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
  const dots = points.length > 60 ? points.filter((point) => point.level !== "green") : points;
  const svg = s("svg", { width, height: HEIGHT, role: "img", "aria-label": spoken },
    ticks.map((value) => [
      s("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
      s("text", { class: "axis", x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, words(value)),
    ]),
    near.map((limit) => [
      s("line", { class: `limit ${limit.level}`, x1: EDGE.left, x2: width - EDGE.right, y1: y(limit.value), y2: y(limit.value) }),
      s("text", { class: `axis ${limit.level}`, x: width - EDGE.right, y: y(limit.value) - 4, "text-anchor": "end" }, LIMITS[limit.level]),
    ]),
    s("text", { class: "axis", x: EDGE.left, y: HEIGHT - 6 }, `turn ${first}`),
    points.length > 1 ? s("text", { class: "axis", x: width - EDGE.right, y: HEIGHT - 6, "text-anchor": "end" }, `turn ${points.at(-1).turn}`) : null,
    s("polyline", { class: "curve", points: points.map((point) => `${x(point.turn).toFixed(1)},${y(point.value).toFixed(1)}`).join(" ") }),
    dots.map((point) => s("circle", { class: `dot ${point.level}`, cx: x(point.turn), cy: y(point.value), r: points.length > 30 ? 2 : 3 })),
    cursor,
  );
  svg.addEventListener("pointermove", (event) => {
    const at = event.clientX - svg.getBoundingClientRect().left;
    const closest = points.reduce((best, point) => (Math.abs(x(point.turn) - at) < Math.abs(x(best.turn) - at) ? point : best));
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(closest.turn));
    cursor.setAttribute("x2", x(closest.turn));
    readout.textContent = `turn ${closest.turn}: ${words(closest.value)}`;
  });
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    readout.textContent = words(values.at(-1));
  });
  return svg;
}
