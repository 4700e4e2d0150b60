// The picture of the set-up: points, decision line and region to drag, and the millimetre grid they lead to.

import { fitted } from "./dom.js";
import { homography, map } from "./homography.js";
import { round } from "./format.js";

const REACH = 26; // pixels around a handle that grab it

export class SetupCanvas {
  #canvas;
  #picture = document.createElement("canvas");
  #held = null;
  proposal = null;
  chosen = null; // {box, measured} of the parcel that was clicked
  #tracks = []; // of the picture that is shown, held still or not
  frozen = false;

  /** @param onchange called while something is dragged; @param onpick called with a clicked parcel or null */
  constructor(canvas, { onchange, onpick }) {
    this.#canvas = canvas;
    canvas.addEventListener("pointerdown", (event) => {
      const at = this.#where(event);
      this.#held = this.#grab(at);
      if (this.#held) canvas.setPointerCapture(event.pointerId);
      else onpick(this.#parcelAt(at));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.proposal) return;
      const at = this.#where(event);
      if (!this.#held) { canvas.style.cursor = this.#grab(at) ? "grab" : "crosshair"; return; }
      this.#drag(at);
      onchange();
    });
    canvas.addEventListener("pointerup", () => { this.#held = null; });
    canvas.addEventListener("pointercancel", () => { this.#held = null; });
  }

  setFrame({ bitmap, head }) {
    if (this.frozen && this.#picture.width > 1) return;
    this.#tracks = head.tracks.filter((track) => track.state === "CONFIRMED");
    this.#picture.width = bitmap.width;
    this.#picture.height = bitmap.height;
    this.#picture.getContext("2d").drawImage(bitmap, 0, 0);
    this.draw();
  }

  get toPicture() { return homography(this.proposal.calibration.belt_points_mm, this.proposal.calibration.image_points_px); }
  get toBelt() { return homography(this.proposal.calibration.image_points_px, this.proposal.calibration.belt_points_mm); }

  draw() {
    if (!this.proposal || !this.#canvas.clientWidth) return;
    const { context, width, height } = fitted(this.#canvas);
    const scale = this.#scale();
    if (this.#picture.width > 1) context.drawImage(this.#picture, 0, 0, width, height);
    this.#drawRegion(context, width, height);
    const toPicture = this.toPicture;
    if (toPicture) {
      this.#drawGrid(context, toPicture, scale);
      this.#drawDecisionLine(context, toPicture, scale);
    }
    this.#drawPoints(context, scale);
    this.#drawChosen(context, scale);
  }

  #scale() { return this.#canvas.clientWidth / this.proposal.calibration.image_size_px[0]; }

  #where(event) {
    const scale = this.proposal ? this.#scale() : 1;
    return [event.offsetX / scale, event.offsetY / scale];
  }

  #grab([x, y]) {
    if (!this.proposal) return null;
    const reach = REACH / this.#scale();
    const near = ([px, py]) => Math.hypot(px - x, py - y) < reach;
    const point = this.proposal.calibration.image_points_px.findIndex(near);
    if (point >= 0) return { kind: "point", index: point };
    const corner = this.#corners().findIndex(near);
    if (corner >= 0) return { kind: "corner", index: corner };
    const belt = this.toBelt && map(this.toBelt, [x, y]);
    const edge = belt && map(this.toPicture, [this.proposal.line_mm, belt[1]]);
    if (edge && Math.hypot(edge[0] - x, edge[1] - y) < reach / 2) return { kind: "line" };
    return null;
  }

  #drag([x, y]) {
    const { calibration } = this.proposal;
    const [width, height] = calibration.image_size_px;
    const at = [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
    if (this.#held.kind === "point") {
      calibration.image_points_px[this.#held.index] = at.map((v) => Math.round(v * 10) / 10);
    } else if (this.#held.kind === "corner") {
      const [i, j] = this.#held.index === 0 ? [0, 1] : [2, 3];
      this.proposal.crop[i] = Math.round((1000 * at[0]) / width) / 1000;
      this.proposal.crop[j] = Math.round((1000 * at[1]) / height) / 1000;
    } else {
      const belt = map(this.toBelt, at);
      if (belt) this.proposal.line_mm = Math.round(belt[0]);
    }
  }

  #corners() {
    const [width, height] = this.proposal.calibration.image_size_px;
    const [x1, y1, x2, y2] = this.proposal.crop;
    return [[x1 * width, y1 * height], [x2 * width, y2 * height]];
  }

  #parcelAt([x, y]) {
    return this.#tracks.find(({ box: [x1, y1, x2, y2] }) => x >= x1 && x <= x2 && y >= y1 && y <= y2) ?? null;
  }

  #drawGrid(context, toPicture, scale) {
    const points = this.proposal.calibration.belt_points_mm;
    const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
    const step = 100;
    const floor = (v) => Math.floor(v / step) * step;
    const ceil = (v) => Math.ceil(v / step) * step;
    const [x1, x2, y1, y2] = [floor(Math.min(...xs)), ceil(Math.max(...xs)), floor(Math.min(...ys)), ceil(Math.max(...ys))];
    if ((x2 - x1) / step > 120 || (y2 - y1) / step > 120) return;
    context.save();
    context.font = "600 11px system-ui, sans-serif";
    for (let x = x1; x <= x2; x += step) stroke(context, [[x, y1], [x, y2]], toPicture, scale, x % 500 === 0);
    for (let y = y1; y <= y2; y += step) stroke(context, [[x1, y], [x2, y]], toPicture, scale, y % 500 === 0);
    for (let x = ceil(x1 / 5) * 5 || x1; x <= x2; x += 500) label(context, map(toPicture, [x, y1]), scale, `${round(x)} mm`);
    context.restore();
  }

  #drawDecisionLine(context, toPicture, scale) {
    const ys = this.proposal.calibration.belt_points_mm.map((p) => p[1]);
    const ends = [Math.min(...ys), Math.max(...ys)].map((y) => map(toPicture, [this.proposal.line_mm, y]));
    const middle = [(Math.min(...ys) + Math.max(...ys)) / 2];
    const arrow = [0, 150].map((d) => map(toPicture, [this.proposal.line_mm + d, middle[0]]));
    if (ends.includes(null) || arrow.includes(null)) return;
    context.save();
    context.strokeStyle = context.fillStyle = "#ffd23e";
    context.lineWidth = 4;
    line(context, ends, scale);
    line(context, arrow, scale);
    const [[ax, ay], [bx, by]] = arrow.map(([x, y]) => [x * scale, y * scale]);
    const turn = Math.atan2(by - ay, bx - ax);
    context.beginPath();
    for (const [d, r] of [[0, 14], [2.5, 14], [-2.5, 14]]) context.lineTo(bx + r * Math.cos(turn + d), by + r * Math.sin(turn + d));
    context.fill();
    context.font = "700 13px system-ui, sans-serif";
    context.fillText("travel", bx + 16, by + 4);
    context.restore();
  }

  #drawRegion(context, width, height) {
    const [x1, y1, x2, y2] = this.proposal.crop;
    context.save();
    context.fillStyle = "rgb(0 0 0 / .55)";
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
    context.fill("evenodd");
    context.strokeStyle = "#7fd0ff";
    context.setLineDash([9, 6]);
    context.lineWidth = 2;
    context.strokeRect(x1 * width + 1, y1 * height + 1, (x2 - x1) * width - 2, (y2 - y1) * height - 2);
    context.fillStyle = "#7fd0ff";
    for (const [x, y] of [[x1 * width, y1 * height], [x2 * width, y2 * height]]) {
      context.fillRect(Math.min(Math.max(x - 8, 0), width - 16), Math.min(Math.max(y - 8, 0), height - 16), 16, 16);
    }
    context.restore();
  }

  #drawChosen(context, scale) {
    if (!this.chosen) return;
    const [x1, y1, x2, y2] = this.chosen.box.map((v) => v * scale);
    context.strokeStyle = "#fff";
    context.lineWidth = 3;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    if (!this.chosen.measured) return;
    label(context, [x1 / scale, y1 / scale], scale, this.chosen.measured.size_mm.map((v) => round(v)).join(" × ") + " mm", 15);
  }

  #drawPoints(context, scale) {
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = "750 13px system-ui, sans-serif";
    for (const [i, [x, y]] of this.proposal.calibration.image_points_px.entries()) {
      context.beginPath();
      context.arc(x * scale, y * scale, 13, 0, 2 * Math.PI);
      context.fillStyle = "rgb(255 61 129 / .85)";
      context.fill();
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.stroke();
      context.fillStyle = "#fff";
      context.fillText(String(i + 1), x * scale, y * scale + 1);
    }
    context.textAlign = "start";
  }
}

function stroke(context, ends, toPicture, scale, strong) {
  const mapped = ends.map((point) => map(toPicture, point));
  if (mapped.includes(null)) return;
  context.strokeStyle = strong ? "rgb(120 255 180 / .95)" : "rgb(120 255 180 / .4)";
  context.lineWidth = strong ? 2 : 1;
  line(context, mapped, scale);
}

function line(context, [[ax, ay], [bx, by]], scale) {
  context.beginPath();
  context.moveTo(ax * scale, ay * scale);
  context.lineTo(bx * scale, by * scale);
  context.stroke();
}

function label(context, at, scale, text, size = 12) {
  if (!at) return;
  context.font = `700 ${size}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + 8;
  const [x, y] = [at[0] * scale, at[1] * scale];
  context.fillStyle = "rgb(0 0 0 / .7)";
  context.fillRect(x, y - size - 7, wide, size + 6);
  context.fillStyle = "#fff";
  context.textBaseline = "alphabetic";
  context.fillText(text, x + 4, y - 6);
}
