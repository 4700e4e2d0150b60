// What was kept of a parcel: its blurred clip and record, and the button that keeps more.

import { el } from "./dom.js";
import { askToken, hasToken, mayChange } from "./session.js";

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

async function load(section, uid) {
  try {
    const answer = await fetch(`/api/evidence?uid=${encodeURIComponent(uid)}`);
    const { kept, entries } = await answer.json();
    if (kept) section.replaceChildren(el("h3", {}, "Evidence"), ...entries.map(shown), marker(section, uid));
  } catch { /* no contact: the banner says so */ }
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
  if (answer.ok) setTimeout(() => load(section, uid), 2500);
}
