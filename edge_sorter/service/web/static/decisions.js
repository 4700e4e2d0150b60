// The newest decisions, one row each; a click opens the why.

import { $, el } from "./dom.js";
import { clockTime, seconds, size } from "./format.js";

const ROWS = 60;

export class DecisionList {
  #cards = new Map();
  #open;
  #scene = null;

  constructor(open) { this.#open = open; }

  setScene(scene) { this.#scene = scene; }

  add(cards) {
    const list = $("decisions");
    const first = this.#cards.size === 0;
    if (first) list.replaceChildren();
    for (const card of cards) {
      const known = this.#cards.get(card.parcel_uid);
      if (known && known.rev >= card.rev) continue;
      this.#cards.set(card.parcel_uid, card);
      list.prepend(el("li", {}, decisionRow(card, this.#scene, () => this.#open(card), !first)));
    }
    while (list.children.length > ROWS) list.lastElementChild.remove();
    while (this.#cards.size > 4 * ROWS) this.#cards.delete(this.#cards.keys().next().value);
  }

  card(uid) { return this.#cards.get(uid) ?? null; }
}

export function laneChip(lane, scene) {
  const colour = scene?.lanes.find((l) => l.id === lane)?.colour ?? "#7d8794";
  return el("span", { class: "lane", vars: { lane: colour } }, lane);
}

export function pictureOf(card) {
  if (!card.picture) return el("span", { class: "no-picture" });
  const src = `/api/picture/${encodeURIComponent(card.parcel_uid)}/${card.rev}.jpg`;
  return el("img", { src, alt: `picture of a ${card.class}`, loading: "lazy" });
}

export function decisionRow(card, scene, open, fresh = false) {
  const odd = card.reason !== "PLAN_MATCH" && card.reason !== "DEFAULT";
  const failed = card.result !== null && card.result !== "SENT";
  const spare = card.timing ? ` · ${seconds(card.timing.spare_ms)} left` : "";
  const code = card.codes.length ? ` · ${card.codes[0][1]}` : "";
  const colour = scene?.lanes.find((l) => l.id === card.lane)?.colour ?? "#7d8794";
  return el("button", { class: `decision${fresh ? " fresh" : ""}`, onclick: open, "data-uid": card.parcel_uid, vars: { lane: colour } },
    pictureOf(card),
    el("span", { class: "what" }, `${card.class} `, odd ? el("span", { class: "bad" }, card.reason) : el("small", {}, card.rule ?? card.reason)),
    laneChip(card.lane, scene),
    el("span", { class: failed ? "more bad" : "more" },
      `${card.at ? clockTime(Date.parse(card.at)) : "from the journal"} · ${failed ? card.result : size(card.size_mm)}${code}${failed ? "" : spare}`));
}
