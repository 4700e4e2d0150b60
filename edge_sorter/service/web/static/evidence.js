// What was kept of a parcel: its blurred clip and record, and the button that keeps more.

import { el } from "./dom.js";
import { askToken, hasToken, mayChange } from "./session.js";

const TRIES = 60;
const TRY_MS = 1000;

const WHY = {
  no_read: "no code was read", low_conf: "not sure enough", late: "not sent in time", missort: "went to another lane",
  mark: "marked by a person",
};

/** A section that fills itself when the server has answered; empty where nothing is kept here. */
export function evidenceOf(card) {
  const section = el("section", { id: "why-evidence" });
  load(section, card.parcel_uid);
  return section;
}

/** Show what is kept of a parcel if it is more than `known` pieces; returns whether it was. */
async function load(section, uid, known = -1) {
  try {
    const answer = await fetch(`/api/evidence?uid=${encodeURIComponent(uid)}`);
    const { kept, entries } = await answer.json();
    if (!kept || entries.length <= known) return false;
    section.replaceChildren(el("h3", {}, "Evidence"), ...entries.map(shown), marker(section, uid));
    return true;
  } catch { return false; /* no contact: the banner says so */ }
}

function shown({ id, why, clip, at }) {
  const file = (kind) => `/api/evidence/${encodeURIComponent(id)}${kind}`;
  return el("figure", { class: "evidence" },
    clip && el("video", { src: file(".mp4"), controls: true, muted: true, loop: true, autoplay: true, playsinline: true }),
    el("figcaption", {}, `${WHY[why] ?? why}, ${new Date(at).toLocaleString()}`, clip ? " · " : " (no clip) · ",
      el("a", { href: file(".json"), target: "_blank" }, "record")));
}

function marker(section, uid) {
  return el("button", { class: "plain", id: "why-mark", onclick: () => mark(section, uid) }, "Keep this as evidence");
}

async function mark(section, uid) {
  const note = section.querySelector("[data-note]") ?? section.appendChild(el("p", { class: "hint", "data-note": true }));
  if (!mayChange() && hasToken()) return askToken();
  note.textContent = "Keeping it…";
  const answer = await fetch("/api/evidence/mark", { method: "POST", body: JSON.stringify({ parcel_uid: uid }) });
  note.textContent = answer.ok ? "Kept; the clip is here in a moment." : (await answer.json()).error;
  const known = section.querySelectorAll("figure").length;
  for (let tries = 0; answer.ok && tries < TRIES && section.isConnected; tries += 1) {
    await new Promise((wake) => { setTimeout(wake, TRY_MS); });
    if (await load(section, uid, known)) return undefined;
  }
  return undefined;
}
