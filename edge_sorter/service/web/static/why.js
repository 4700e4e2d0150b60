// Why one parcel went where it went: rule, votes, codes, size, flags, and how long everything took.

import { $, el } from "./dom.js";
import { laneChip, pictureOf } from "./decisions.js";
import { evidenceOf } from "./evidence.js";
import { REASONS, RESULTS, clockTime, round, size } from "./format.js";

export function openWhy(card, scene) {
  const dialog = $("why");
  dialog.className = "why";
  dialog.replaceChildren(
    el("button", { class: "close plain", onclick: () => dialog.close(), "aria-label": "Close" }, "✕"),
    head(card, scene),
    el("div", { class: "two" },
      el("div", {}, el("h3", {}, "What it was taken for"), votes(card)),
      el("div", {}, el("h3", {}, "What was measured"), measured(card))),
    card.timing && el("h3", {}, "When, in milliseconds after it crossed the line"),
    card.timing && timeline(card.timing),
    card.rules.length > 0 && el("h3", {}, rulesTitle(card)),
    card.rules.length > 0 && rules(card),
    evidenceOf(card),
    el("h3", {}, "For the record"),
    record(card),
  );
  if (!dialog.open) dialog.showModal();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
}

function head(card, scene) {
  const unsure = card.reason === "LOW_CONF" && card.conf < (scene?.min_class_confidence ?? 0);
  const because = card.rule
    ? `Rule “${card.rule}” took it${card.reason === "PLAN_MATCH" ? "" : ` (${REASONS[card.reason] ?? card.reason})`}.`
    : `${capital(REASONS[card.reason] ?? card.reason)}${unsure ? `: ${round(card.conf * 100)} % sure` : ""}.`;
  const fate = card.result ? `${capital(RESULTS[card.result] ?? card.result)}${card.at ? ` at ${clockTime(Date.parse(card.at))}` : ""}.` : "From the journal.";
  const alternates = card.alt.length ? ` If it is full: ${card.alt.join(", ")}.` : "";
  return el("div", { class: "why-head" }, card.picture && pictureOf(card),
    el("div", {},
      laneChip(card.lane, scene),
      el("p", { id: "why-because" }, el("strong", {}, because)),
      el("p", {}, el("span", { class: card.result && card.result !== "SENT" ? "bad" : null }, fate), alternates)));
}

function votes(card) {
  if (!card.looks.length) return el("p", { class: "hint" }, `${card.class}, ${round(card.conf * 100)} % of the evidence`);
  const most = Math.max(...card.looks.map((look) => look.frames));
  return el("div", { class: "votes", id: "why-votes" }, ...card.looks.flatMap((look) => [
    el("span", {}, look.class),
    el("i", { style: { width: `${(100 * look.frames) / most}%`, opacity: look.class === card.class ? 1 : 0.45 } }),
    el("span", {}, `${look.frames} frames, ${round(look.conf * 100)} % sure`),
  ]), el("p", { class: "hint" }, `${capital(card.class)} holds ${round(card.conf * 100)} % of the evidence.`));
}

function measured(card) {
  const { pos } = card;
  return facts([
    ["size", size(card.size_mm)],
    ["codes", card.codes.length ? card.codes.map(([kind, text, frames]) => `${text} (${kind}, ${frames} frames)`).join("; ") : "none read"],
    ["flags", card.flags.join(", ") || "none"],
    ["off the middle", pos.lat_mm === null ? "not known" : `${round(pos.lat_mm)} mm`],
    ["belt position", pos.lead_mm === null ? "not known" : `${round(pos.lead_mm)} to ${round(pos.trail_mm)} mm (${pos.ref})`],
  ]);
}

/** Some reasons come before any rule: then the rules only tell what would have been. */
function rulesTitle(card) {
  const asked = card.rule || ["DEFAULT", "NO_READ"].includes(card.reason);
  return `Rules of plan ${card.plan}${asked ? ", in the order they are asked" : `; ${card.reason} came first, so they had no say`}`;
}

function rules(card) {
  return el("table", {}, ...card.rules.map((rule) =>
    el("tr", { class: rule.id === card.rule ? "matched" : "" }, el("td", {}, rule.id), el("td", {}, rule.why))));
}

function record(card) {
  return facts([
    ["parcel", el("code", {}, card.parcel_uid)],
    ["message", `${card.seq}, revision ${card.rev}`],
    ["action, reason", `${card.action}, ${card.reason}`],
    ["plan", el("code", {}, card.plan)],
    ["track", card.track],
  ]);
}

const facts = (pairs) => el("dl", { class: "facts" }, ...pairs.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Crossed, seen, published, deadline on one scale; the free stretch before the deadline is what counts. */
function timeline(timing) {
  const { captured_ms: seen, published_ms: sent, deadline_ms: deadline, spare_ms: spare } = timing;
  const end = Math.max(deadline, sent) * 1.04;
  const x = (ms) => `${Math.max(0, (100 * ms) / end)}%`;
  const bar = (from, to, colour) =>
    el("rect", { x: x(from), y: 30, width: `${Math.max(0.3, (100 * (to - from)) / end)}%`, height: 22, fill: colour });
  const mark = (ms, text, y) => {
    const end_of_it = ms / end > 0.6;
    return [
      el("line", { x1: x(ms), x2: x(ms), y1: 24, y2: 58, stroke: "currentColor", "stroke-width": 1.5 }),
      el("text", { x: x(ms), y, "text-anchor": end_of_it ? "end" : "start" }, text),
    ];
  };
  const late = spare < 0;
  const stages = Object.entries(timing.stages_ms).map(([stage, ms]) => `${stage} ${round(ms, 1)}`).join(" · ");
  return el("div", { id: "why-timing" },
    el("svg", { class: "timeline", role: "img", "aria-label": "times of this decision" },
      bar(0, seen, "var(--idle)"), bar(seen, sent, "var(--accent)"),
      bar(late ? deadline : sent, late ? sent : deadline, late ? "var(--bad)" : "var(--good)"),
      ...mark(0, deadline / end > 0.3 ? "crossed" : "", 18),
      ...mark(sent, `published +${round(sent)}`, 74),
      ...mark(deadline, `deadline +${round(deadline)}`, 18)),
    el("p", {}, el("strong", { class: late ? "bad" : "" }, `${round(Math.abs(spare))} ms ${late ? "too late" : "to spare"}`),
      ` · picture ${round(seen, 1)} ms after the crossing, ${round(timing.latency_ms, 1)} ms from picture to published`),
    el("p", { class: "hint" }, `of which, in ms: ${stages}`));
}
