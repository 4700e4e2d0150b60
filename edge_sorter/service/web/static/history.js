// Finds parcels of the past by id or code.

import { $, el } from "./dom.js";
import { decisionRow } from "./decisions.js";

export function startHistory(sceneNow, open) {
  $("search").addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = $("wanted").value.trim();
    $("found-note").textContent = "Searching…";
    try {
      const answer = await fetch(`/api/history?q=${encodeURIComponent(wanted)}`);
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      $("found").replaceChildren(...found.cards.map((card) => el("li", {}, decisionRow(card, sceneNow(), () => open(card)))));
      $("found-note").textContent = note(found);
    } catch (error) {
      $("found-note").textContent = `The search failed: ${error.message}`;
    }
  });
}

function note({ cards, complete, journal }) {
  const many = cards.length === 1 ? "1 decision" : `${cards.length} decisions`;
  const where = journal ? "" : " No journal is kept (journal.path), so only the decisions of this run were searched.";
  return `${many} found${complete ? "" : "; there may be more, search for something longer"}.${where}`;
}
