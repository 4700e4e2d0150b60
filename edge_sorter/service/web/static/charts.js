// Two small charts of the last hour, drawn as SVG in real pixels.

import { $, el } from "./dom.js";
import { clockTime, round } from "./format.js";

const SPANS = { "10 min": 60, "1 h": 360 };
const HEIGHT = 150, LEFT = 40, BOTTOM = 18, TOP = 8;

let shown = "10 min";
let points = [];

export function startCharts() {
  $("span").replaceChildren(...Object.keys(SPANS).map((name) =>
    el("button", { class: "plain", "aria-pressed": String(name === shown), onclick: (event) => {
      shown = name;
      for (const button of $("span").children) button.setAttribute("aria-pressed", String(button === event.target));
      draw();
    } }, name)));
  $("latency-note").replaceChildren(
    el("i", { class: "key", style: { background: "var(--accent)" } }), "median",
    el("i", { class: "key", style: { background: "var(--warn)" } }), "slowest");
  window.addEventListener("resize", draw);
  load();
  setInterval(load, 10_000);
}

async function load() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/api/trend");
    if (answer.ok) { points = await answer.json(); draw(); }
  } catch { /* the banner already says that there is no contact */ }
}

function draw() {
  const chosen = points.slice(-SPANS[shown]);
  throughput(chosen);
  latency(chosen);
}

function throughput(chosen) {
  const rates = chosen.map((p) => (60 * p.decided) / p.seconds);
  const { svg, x, y, top, wide } = frame($("throughput"), chosen, Math.max(12, ...rates));
  for (const [i, point] of chosen.entries()) {
    svg.append(el("rect", { class: point.failed ? "failed" : "bars", x: x(i), y: y(rates[i]), width: Math.max(0.8, wide - 0.8),
      height: Math.max(0, y(0) - y(rates[i])) }));
  }
  $("throughput").replaceChildren(svg);
  svg.setAttribute("aria-label", `parcels a minute, up to ${round(top)}`);
}

function latency(chosen) {
  const { svg, x, y } = frame($("latency"), chosen, Math.max(20, ...chosen.map((p) => p.slowest_ms ?? 0)));
  for (const [key, name] of [["slowest_ms", "slowest"], ["median_ms", "median"]]) {
    const path = chosen.map((p, i) => (p[key] === null ? "" : `${x(i)},${y(p[key])}`)).filter(Boolean).join(" ");
    svg.append(el("polyline", { class: name, points: path }));
  }
  $("latency").replaceChildren(svg);
}

function frame(place, chosen, highest) {
  const slots = SPANS[shown];
  const width = place.clientWidth || 400;
  const step = niceStep(highest / 3);
  const top = Math.ceil(highest / step) * step;
  const wide = (width - LEFT) / slots;
  const x = (i) => LEFT + (slots - chosen.length + i) * wide;
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const svg = el("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img" });
  for (let value = 0; value <= top; value += step) {
    svg.append(el("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }),
      el("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, round(value)));
  }
  svg.append(el("text", { x: LEFT, y: HEIGHT - 3 }, `${shown} ago`),
    el("text", { x: width, y: HEIGHT - 3, "text-anchor": "end" }, chosen.length ? clockTime(chosen.at(-1).at_ms) : "now"));
  if (!chosen.length) {
    svg.append(el("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "the first point comes after ten seconds"));
  }
  return { svg, x, y, top, wide };
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
}
