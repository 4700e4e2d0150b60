// Small tools for building elements; text always goes in as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** Make an element: el("p", {class: "note", onclick: f}, "text", child). null children are left out. */
export function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "line", "rect", "path", "text", "polyline", "circle", "g", "polygon"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, v] of Object.entries(value)) node.style.setProperty(`--${key}`, v);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Replace the content of a description list by rows of term, value, and whether that calls for a look. */
export function fillFacts(list, pairs) {
  list.replaceChildren(
    ...pairs.filter(([, value]) => value !== null && value !== undefined).map(([term, value, odd]) =>
      el("div", { class: odd ? "odd" : null }, el("dt", {}, term), el("dd", {}, ...(Array.isArray(value) ? value : [value])))),
  );
}

/** Size a canvas to its place on the screen in real pixels; returns its context in CSS pixels and its size. */
export function fitted(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
