// The belt from above, in millimetres: parcels in view as tracked, parcels beyond it where belt travel has brought them.

import { $, css, fitted } from "./dom.js";
import { round } from "./format.js";

const COAST_MS = 400; // how long a parcel moves on without news
const EXIT_STEP_MM = 420;
const SLIDE_MM = 500;

export class BeltStrip {
  #canvas = $("strip");
  #scene = null;
  #frame = null;
  #arrived = 0;
  #speed = null; // mm/ms
  #decided = [];

  constructor() {
    const loop = () => { this.#draw(); requestAnimationFrame(loop); };
    requestAnimationFrame(loop);
  }

  setScene(scene) {
    this.#scene = { ...scene, exits: exitsOf(scene) };
    $("strip-note").textContent = scene.belt ? "" : "calibrate the camera to see it";
    this.#canvas.parentElement.hidden = !scene.belt;
  }

  setFrame({ head }) {
    const before = this.#frame;
    if (before && head.travel_mm !== null && head.captured_ms > before.captured_ms) {
      this.#speed = (head.travel_mm - before.travel_mm) / (head.captured_ms - before.captured_ms);
    }
    this.#frame = head;
    this.#arrived = performance.now();
    if (this.#scene?.belt) {
      $("strip-note").textContent = this.#speed === null ? "" : `${round(this.#speed, 2)} m/s`;
    }
  }

  addCards(cards) {
    this.#decided = this.#decided.concat(cards.filter((card) => card.pos.lead_mm !== null)).slice(-60);
  }

  #draw() {
    if (!this.#scene?.belt || !this.#frame || !this.#canvas.clientWidth || document.hidden) return;
    const { context, width, height } = fitted(this.#canvas);
    const { across_mm: [low, high], view_mm: [from], y_down: down } = this.#scene.belt;
    const to = Math.max(...this.#scene.exits.map((exit) => exit.at_mm)) + 600;
    const room = 30;
    const sx = width / (to - from);
    const sy = (height - 2 * room) / (high - low);
    const place = {
      x: (mm) => (mm - from) * sx,
      y: (mm) => room + (down ? mm - low : high - mm) * sy,
      sx, sy, room, width, height, middle: (low + high) / 2,
    };
    context.clearRect(0, 0, width, height);
    this.#drawBelt(context, place);
    const moved = this.#speed === null ? 0 : this.#speed * Math.min(performance.now() - this.#arrived, COAST_MS);
    this.#drawDecided(context, place, moved);
    for (const track of this.#frame.tracks) {
      if (!track.mm || track.state === "TENTATIVE") continue;
      if (track.uid && this.#decided.some((card) => card.parcel_uid === track.uid)) continue;
      const [x, y, length, across] = track.mm;
      drawParcel(context, place, { x: x + moved, y, length, across }, this.#colour(track.lane) ?? css("faint"));
    }
  }

  #drawBelt(context, place) {
    const { belt, exits } = this.#scene;
    const { room, width, height } = place;
    context.fillStyle = css("belt");
    context.fillRect(0, room, width, height - 2 * room);
    context.fillStyle = css("ground");
    context.globalAlpha = 0.45;
    context.fillRect(place.x(belt.view_mm[1]), room, width, height - 2 * room);
    context.globalAlpha = 1;
    const chip = Math.max(22, Math.min(54, EXIT_STEP_MM * place.sx - 4));
    context.font = `650 ${chip < 40 ? 9 : 12}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    for (const exit of exits) {
      const x = place.x(exit.at_mm);
      const y = exit.up ? 0 : height - room + 2;
      context.fillStyle = exit.colour;
      context.fillRect(x - chip / 2, y, chip, room - 4);
      context.fillStyle = "#fff";
      context.textAlign = "center";
      context.fillText(exit.id, x, y + room / 2 - 1);
    }
    const narrow = width < 600;
    drawMarker(context, place.x(belt.line_mm), place, css("warn"), narrow ? "line" : "decision line");
    drawMarker(context, place.x(belt.view_mm[1]), place, css("faint"), narrow ? "" : "end of view");
  }

  /** A decided parcel's ends are known in belt travel, so it can be followed past the picture to its exit. */
  #drawDecided(context, place, moved) {
    const travel = this.#frame.travel_mm;
    if (travel === null) return;
    const { belt, exits } = this.#scene;
    for (const card of this.#decided) {
      const lead = belt.line_mm + travel + moved - card.pos.lead_mm;
      const trail = belt.line_mm + travel + moved - card.pos.trail_mm;
      const exit = exits.find((e) => e.id === card.lane);
      const length = Math.max(60, lead - trail);
      const x = (lead + trail) / 2;
      const gone = exit ? Math.max(0, x - exit.at_mm) : 0;
      if (gone > SLIDE_MM || x < belt.view_mm[0]) continue;
      const across = card.size_mm?.[1] ?? 200;
      const shift = (gone / SLIDE_MM) * place.height * 0.6 * (exit?.up ? -1 : 1);
      context.save();
      context.translate(gone ? -gone * place.sx : 0, shift);
      context.globalAlpha = 1 - gone / SLIDE_MM;
      drawParcel(context, place, { x, y: place.middle + (card.pos.lat_mm ?? 0), length, across }, this.#colour(card.lane), card.lane);
      context.restore();
    }
  }

  #colour(lane) {
    return this.#scene.lanes.find((l) => l.id === lane)?.colour ?? null;
  }
}

/** Where each lane leaves the belt in the drawing: at its divert point; lanes that share one stand side by side. */
function exitsOf(scene) {
  if (!scene.belt) return [];
  const taken = new Map();
  return scene.lanes.filter((lane) => lane.kind !== "default").map((lane) => {
    const n = taken.get(lane.divert_mm) ?? 0;
    taken.set(lane.divert_mm, n + 1);
    return { ...lane, up: n % 2 === 0, at_mm: scene.belt.line_mm + lane.divert_mm + Math.floor(n / 2) * EXIT_STEP_MM };
  });
}

function drawParcel(context, place, { x, y, length, across }, colour, label) {
  const [w, h] = [length * place.sx, across * place.sy];
  const [left, top] = [place.x(x) - w / 2, place.y(y) - h / 2];
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, top, w, h, 3);
  context.fill();
  context.strokeStyle = "rgb(0 0 0 / .35)";
  context.lineWidth = 1;
  context.stroke();
  if (label && w > 24) {
    context.fillStyle = "#fff";
    context.font = "700 11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(label, left + w / 2, top + h / 2);
  }
}

function drawMarker(context, x, { room, height }, colour, label) {
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x, room - 6);
  context.lineTo(x, height - room + 6);
  context.stroke();
  context.fillStyle = css("faint");
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(label, x, room / 2 - 2);
}
