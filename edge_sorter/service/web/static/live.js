// The live picture with what was found in that very frame drawn over it.

import { $, fitted } from "./dom.js";
import { round } from "./format.js";

const OLD_MS = 600;
const FLASH_MS = 250;

export class LiveView {
  #canvas = $("live");
  #scene = null;
  #frame = null;
  #arrived = 0;
  #flashUntil = 0;

  /** @param {(uid: string) => void} open  called with the parcel whose box was clicked */
  constructor(open) {
    this.#canvas.addEventListener("click", (event) => {
      const track = this.#at(event.offsetX, event.offsetY);
      if (track?.uid) open(track.uid);
    });
    this.#canvas.addEventListener("mousemove", (event) => {
      this.#canvas.style.cursor = this.#at(event.offsetX, event.offsetY)?.uid ? "pointer" : "default";
    });
    window.addEventListener("resize", () => this.draw());
    setInterval(() => this.#noteAge(), 200);
  }

  setScene(scene) {
    this.#scene = scene;
    document.documentElement.style.setProperty("--aspect", scene.size_px[0] / scene.size_px[1]);
    this.draw();
  }

  flash() { this.#flashUntil = performance.now() + FLASH_MS; }

  setFrame(frame) {
    this.#frame?.bitmap.close();
    this.#frame = frame;
    this.#arrived = performance.now();
    this.draw();
  }

  draw() {
    if (!this.#frame || !this.#scene || !this.#canvas.clientWidth) return;
    const { context, width, height } = fitted(this.#canvas);
    const scale = width / this.#scene.size_px[0];
    context.drawImage(this.#frame.bitmap, 0, 0, width, height);
    this.#drawLine(context, scale);
    const text = Math.max(11, Math.min(16, width / 75));
    for (const track of this.#frame.head.tracks) {
      if (track.state !== "TENTATIVE") drawTrack(context, track, { scale, text, colour: this.#colour(track), width });
    }
  }

  #drawLine(context, scale) {
    const [[ax, ay], [bx, by]] = this.#scene.line_px;
    const flashing = performance.now() < this.#flashUntil;
    context.save();
    context.strokeStyle = flashing ? "#ffd23e" : "rgb(255 255 255 / .85)";
    context.lineWidth = flashing ? 5 : 2;
    context.setLineDash(flashing ? [] : [10, 7]);
    context.beginPath();
    context.moveTo(ax * scale, ay * scale);
    context.lineTo(bx * scale, by * scale);
    context.stroke();
    context.restore();
  }

  #colour(track) {
    return this.#scene.lanes.find((lane) => lane.id === track.lane)?.colour ?? null;
  }

  #at(x, y) {
    if (!this.#frame || !this.#scene) return null;
    const scale = this.#canvas.clientWidth / this.#scene.size_px[0];
    return this.#frame.head.tracks.find(({ box: [x1, y1, x2, y2] }) =>
      x >= x1 * scale && x <= x2 * scale && y >= y1 * scale && y <= y2 * scale) ?? null;
  }

  #noteAge() {
    const note = $("live-note");
    const age = this.#frame ? performance.now() - this.#arrived : null;
    const old = age === null || age > OLD_MS;
    $("live").parentElement.dataset.old = String(old && age !== null);
    note.hidden = !old;
    if (old) note.textContent = age === null ? "No picture yet" : `Picture is ${round(age / 1000, 1)} s old`;
  }
}

function drawTrack(context, track, { scale, text, colour, width }) {
  const [x1, y1, x2, y2] = track.box.map((v) => v * scale);
  context.save();
  context.strokeStyle = colour ?? "#ffffff";
  context.lineWidth = colour ? 3 : 2;
  if (track.state === "LOST") context.setLineDash([5, 5]);
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  const label = track.lane ? `${track.class} → ${track.lane}` : `${track.class} ${round(track.conf * 100)} %`;
  context.font = `650 ${text}px system-ui, sans-serif`;
  const wide = context.measureText(label).width + 12;
  const high = text + 8;
  const left = Math.max(0, Math.min(x1 - 1, width - wide));
  const top = y1 - high >= 0 ? y1 - high : y1;
  context.fillStyle = colour ?? "rgb(255 255 255 / .92)";
  context.fillRect(left, top, wide, high);
  context.fillStyle = colour ? "#fff" : "#111";
  context.textBaseline = "middle";
  context.fillText(label, left + 6, top + high / 2 + 0.5);
  context.restore();
}

/** Camera figures over the picture; those that call for a look are marked. */
export function showQuality(status) {
  const quality = status.quality;
  const rows = [
    ["camera", `${round(status.fps, 1)} fps`, status.fps !== null && status.fps < 10],
    ["age", `${round(status.frame_age_ms)} ms`, status.frame_age_ms > 250],
    quality && ["brightness", round(quality.luma), quality.luma < 40 || quality.luma > 215],
    quality && ["sharpness", round(quality.sharpness), quality.sharpness < 30],
    ["dropped", round(Object.values(status.dropped).reduce((sum, n) => sum + n, 0)), false],
  ];
  $("quality").replaceChildren(...rows.filter(Boolean).map(([term, value, odd]) => {
    const row = document.createElement("div");
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = term;
    dd.textContent = value;
    if (odd) dd.dataset.level = "warning";
    row.append(dt, dd);
    return row;
  }));
}
