// How figures are written.

/** A probability: three digits near 1, powers of ten near 0. */
export function probability(p) {
  if (p === null || p === undefined || Number.isNaN(p)) return "–";
  if (p >= 0.9995) return "1.00";
  if (p >= 0.001) return p.toFixed(p >= 0.1 ? 2 : 3);
  if (p === 0) return "0";
  const [digits, power] = p.toExponential(1).split("e");
  return `${digits}·10${[...power].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("")}`;
}

export function figure(x) {
  if (x === null || x === undefined) return "–";
  if (Math.abs(x) >= 1000) return x.toExponential(1);
  return String(Number(x.toPrecision(3)));
}

export const seconds = (x) => (x < 10 ? `${x.toFixed(1)} s` : `${Math.round(x)} s`);

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** "14:05", or "3 Mar 14:05" where it was another day. */
export function time(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const hour = at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === new Date().toDateString()) return hour;
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${hour}`;
}

/** A sentence of the server's, with a capital. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** "t5-3fa9c1d2e4b7" is read as "turn 5"; the base as "base". */
export function turnOf(version) {
  const found = /^t(\d+)-/.exec(version ?? "");
  return found ? Number(found[1]) : null;
}

export function versionWords(version) {
  const turn = turnOf(version);
  if (turn === null) return version || "–";
  return turn === 0 ? "base" : `turn ${turn}`;
}
