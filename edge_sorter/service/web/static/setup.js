// Setting up the camera: the form beside the picture, trying what it would mean, saving it.

import { $, el } from "./dom.js";
import { round } from "./format.js";
import { askToken, hasToken, mayChange } from "./session.js";
import { SetupCanvas } from "./setup-canvas.js";

const TRY_MS = 700;
const ENOUGH = 3; // parcels that make a speed

export class SetUp {
  #canvas = new SetupCanvas($("setup-canvas"), { onchange: () => this.#show(), onpick: (parcel) => this.#pick(parcel) });
  #visible = false;
  #tried = null;
  #speed = null;
  #before = null; // what was measured at the click before this one

  constructor() {
    document.addEventListener("tab", ({ detail }) => this.#enter(detail === "setup"));
    document.addEventListener("rights", () => this.#showRights());
    $("freeze").addEventListener("change", () => { this.#canvas.frozen = $("freeze").checked; });
    $("setup-reset").addEventListener("click", () => this.#load());
    $("setup-form").addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
    $("rect-fill").addEventListener("click", () => this.#fillRectangle());
    $("crop-all").addEventListener("click", () => { this.#proposal.crop = [0, 0, 1, 1]; this.#show(); });
    $("speed-use").addEventListener("click", () => { this.#proposal.speed_mm_s = this.#speed.mm_s; this.#show(); });
    $("line-mm").addEventListener("change", () => { this.#proposal.line_mm = Number($("line-mm").value); this.#show(); });
    $("speed").addEventListener("change", () => { this.#proposal.speed_mm_s = Number($("speed").value) || null; this.#show(); });
    for (const id of ["known-length", "known-width"]) $(id).addEventListener("input", () => this.#showError());
  }

  setFrame(frame) { if (this.#visible) this.#canvas.setFrame(frame); }

  get #proposal() { return this.#canvas.proposal; }

  #enter(visible) {
    this.#visible = visible;
    clearInterval(this.#tried);
    if (!visible) return;
    if (!this.#proposal) this.#load();
    this.#showRights();
    this.#tried = setInterval(() => this.#try(), TRY_MS);
  }

  async #load() {
    const found = await this.#ask("/api/setup");
    if (found.error) { $("setup-problem").textContent = found.error; return; }
    this.#canvas.proposal = found;
    $("points").replaceChildren(...found.calibration.belt_points_mm.map((_, i) => el("tr", {},
      el("td", {}, el("span", { class: "point" }, String(i + 1))),
      ...["x", "y"].map((axis, k) => el("td", {}, `${axis} `, el("input", { type: "number", step: "any", id: `point-${i}-${axis}`,
        "aria-label": `point ${i + 1}, ${axis} in mm`, onchange: (event) => {
          this.#proposal.calibration.belt_points_mm[i][k] = Number(event.target.value);
          this.#show();
        } }))))));
    const [[x1, y1], , [x2, y2]] = found.calibration.belt_points_mm;
    $("rect-length").value = Math.abs(x2 - x1);
    $("rect-width").value = Math.abs(y2 - y1);
    $("setup-done").replaceChildren();
    this.#show();
  }

  #fillRectangle() {
    const [length, width] = [Number($("rect-length").value), Number($("rect-width").value)];
    if (!(length > 0 && width > 0)) return;
    const down = this.#proposal.calibration.belt_points_mm[0][1] < this.#proposal.calibration.belt_points_mm[3][1];
    const [near, far] = down ? [width, 0] : [0, width];
    this.#proposal.calibration.belt_points_mm = [[0, far], [length, far], [length, near], [0, near]];
    this.#show();
  }

  #show() {
    const { calibration, line_mm, speed_mm_s, crop } = this.#proposal;
    for (const [i, point] of calibration.belt_points_mm.entries()) {
      for (const [k, axis] of ["x", "y"].entries()) $(`point-${i}-${axis}`).value = point[k];
    }
    $("line-mm").value = line_mm;
    $("speed").value = speed_mm_s ?? "";
    const whole = crop.join() === "0,0,1,1";
    $("crop-text").textContent = whole ? "the whole picture" : `${crop.map((v) => `${round(100 * v, 1)} %`).join(", ")} of the picture`;
    this.#canvas.draw();
  }

  async #try() {
    if (!this.#proposal || document.hidden) return;
    const chosen = this.#canvas.chosen;
    const found = await this.#ask(`/api/setup/try${chosen ? `?box=${chosen.box.join()}` : ""}`, this.#proposal);
    $("setup-problem").textContent = found.error ?? found.problem ?? "";
    if (found.error) return;
    if (chosen && chosen === this.#canvas.chosen) {
      chosen.measured = found.measured;
      this.#showMeasured();
    }
    this.#showSpeed(found.speed);
    this.#canvas.draw();
  }

  #showSpeed(speed) {
    this.#speed = speed;
    $("speed-use").disabled = !speed || speed.mm_s <= 0 || speed.tracks < ENOUGH;
    if (!speed) $("speed-text").textContent = "No parcel has passed far enough yet.";
    else if (speed.mm_s < 0) $("speed-text").textContent = "Parcels move against x: put point 1 at the upstream end.";
    else $("speed-text").textContent =
      `Measured ${round(speed.mm_s)} mm/s on ${speed.tracks} parcels, half of them within ${round(speed.spread_mm_s)} mm/s. Tall parcels seem faster.`;
  }

  #pick(parcel) {
    this.#before = this.#canvas.chosen?.measured ?? this.#before;
    this.#canvas.chosen = parcel && { box: parcel.box, measured: null };
    if (parcel && !this.#canvas.frozen) $("freeze").click();
    this.#showMeasured();
    this.#canvas.draw();
    this.#try();
  }

  /** What was clicked, and how far it lies from what was clicked before: a parcel moved by a known way is a check. */
  #showMeasured() {
    const { chosen } = this.#canvas;
    const now = chosen?.measured;
    const size = now && `Measured ${round(now.size_mm[0])} mm along travel, ${round(now.size_mm[1])} mm across.`;
    const [along, across] = now && this.#before ? [0, 1].map((i) => round(now.at_mm[i] - this.#before.at_mm[i])) : [];
    const way = along !== undefined ? ` From the click before: ${along} mm along, ${across} mm across.` : "";
    $("measured-text").textContent = now ? size + way : chosen ? "Measuring…" : "Click a parcel in the picture.";
    this.#showError();
  }

  #showError() {
    const known = [Number($("known-length").value), Number($("known-width").value)];
    const chosen = this.#canvas.chosen;
    const place = $("known-error");
    if (!chosen?.measured || !known[0] || !known[1]) { place.textContent = ""; return; }
    const off = known.map((true_mm, i) => (100 * (chosen.measured.size_mm[i] - true_mm)) / true_mm);
    place.dataset.level = off.every((p) => Math.abs(p) <= 5) ? "good" : "bad";
    place.textContent = `off by ${off.map((p) => `${p > 0 ? "+" : ""}${round(p, 1)} %`).join(" and ")}`;
  }

  #showRights() {
    $("setup-save").textContent = mayChange() ? "Save" : hasToken() ? "Sign in to save" : "Save";
    if (this.#visible && !mayChange() && !hasToken()) {
      $("setup-done").textContent = "You may try everything here. Saving needs service.token_file in the configuration.";
    }
  }

  async #save() {
    if (!mayChange() && hasToken()) { askToken(); return; }
    const said = await this.#ask("/api/setup/save", this.#proposal);
    $("setup-problem").textContent = said.error ?? "";
    if (said.error) return;
    $("setup-done").replaceChildren(
      el("p", {}, el("strong", {}, "Saved. "), "It counts when the line is started again."),
      el("p", { class: "hint" }, `Written: ${said.config} and ${said.calibration}. The old configuration is kept as ${said.backup}.`),
      el("ul", {}, ...Object.entries(said.facts).map(([part, fact]) => el("li", {}, `✓ ${part}: ${fact}`))));
  }

  /** Ask the sorter; what goes wrong comes back as {error}. */
  async #ask(path, body) {
    try {
      const answer = await fetch(path, body ? { method: "POST", body: JSON.stringify(body) } : {});
      return await answer.json();
    } catch {
      return { error: "The sorter does not answer." };
    }
  }
}
