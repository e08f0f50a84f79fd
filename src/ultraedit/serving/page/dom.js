// Makes elements.  Text from anywhere becomes a text node and never markup: nothing in this page parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element: attributes, `onclick`-like listeners, and children (strings become text). */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

export const byId = (id) => document.getElementById(id);

let nextId = 0;
/** A label over its control, with a hint that the control is described by. */
export function field(label, control, hint = "") {
  control.id ||= `field-${(nextId += 1)}`;
  const under = hint ? h("span", { class: "hint", id: `${control.id}-hint` }, hint) : null;
  if (under) control.setAttribute("aria-describedby", under.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, under);
}

/** Let a textarea grow with its text. */
export function growing(area) {
  const fit = () => {
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight + 2, 260)}px`;
  };
  area.addEventListener("input", fit);
  area.fit = fit;
  return area;
}

/** A bar for a share from 0 to 1.  Its width is set through the object model, which the page's policy allows. */
export function bar(share, label) {
  const filled = h("span", {});
  filled.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  const named = label ? { role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": share } : { "aria-hidden": true };
  return h("span", { class: "bar", ...named }, filled);
}

/** Say a sentence to a screen reader. */
export function say(sentence) {
  byId("said").textContent = sentence;
}
