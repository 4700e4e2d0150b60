// The state of the line, to be read from three metres, and what is wrong with it.

import { $, el, fillFacts } from "./dom.js";
import { clockTime, duration, round } from "./format.js";

const WORDS = { HANGS: "NO ANSWER", WAITING: "…" };
let last = null;

export function showStatus(status) {
  last = status;
  const state = status.hangs && status.state !== "STARTING" ? "HANGS" : status.state;
  say(state, cause(status));
  const late = Object.entries(status.published).filter(([result]) => result !== "SENT").reduce((sum, [, n]) => sum + n, 0);
  fillFacts($("figures"), [
    ["parcels a minute", round(status.last_minute)],
    ["decided", round(status.decided)],
    ["not sent in time", round(late), late > 0],
    ["latency p99", [round(status.latency_ms.p99), el("small", {}, " ms")]],
    ["frames a second", round(status.fps, 1)],
  ]);
  $("conditions").replaceChildren(...status.conditions.map((condition) =>
    el("li", { "data-level": condition.level },
      el("strong", {}, condition.text), el("span", {}, condition.todo), el("code", {}, condition.code))));
  $("clock").textContent = clockTime(status.now_ms);
}

export function showContact(contact) {
  if (contact) {
    if (last) showStatus(last);
  } else {
    const since = last ? `last heard at ${clockTime(last.now_ms)}` : "it may be starting, or the network is down";
    say("NO CONTACT", `This page does not reach the sorter: ${since}`);
  }
}

function say(state, why) {
  $("banner").dataset.state = state;
  const word = WORDS[state] ?? state;
  if ($("state").textContent !== word) $("state").textContent = word;
  $("cause").textContent = why;
  document.title = `${word} · ${$("line-name").textContent}`;
}

function cause(status) {
  const since = `for ${duration(status.now_ms - status.since_ms)}`;
  const plain = [status.state.toLowerCase(), "start"].includes(status.cause);
  return plain ? since : `${status.cause} · ${since}`;
}
