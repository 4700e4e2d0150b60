// Counters of every lane, the stages of the newest frames, and what is running.

import { $, el } from "./dom.js";
import { laneChip } from "./decisions.js";
import { round } from "./format.js";

const PARTS = { preprocess: "#5b6b7c", infer: "#1f6fd6", decode: "#3f8fb0", track: "#2e9e5b", identify: "#8a7a2a", sort: "#b06a1c", publish: "#a546c8" };
const PLAIN = ["PLAN_MATCH", "DEFAULT"];

export function showLanes(status, scene) {
  if (!scene) return;
  const all = Object.values(status.lanes).reduce((sum, lane) => sum + lane.count, 0);
  const most = Math.max(1, ...Object.values(status.lanes).map((lane) => lane.count));
  const ids = [...new Set([...scene.lanes.map((lane) => lane.id), ...Object.keys(status.lanes)])];
  $("lanes").replaceChildren(...ids.map((id) => {
    const { count = 0, reasons = {} } = status.lanes[id] ?? {};
    const colour = scene.lanes.find((lane) => lane.id === id)?.colour ?? "#7d8794";
    const why = Object.entries(reasons).filter(([reason]) => !PLAIN.includes(reason)).map(([reason, n]) => `${reason} ${n}`);
    const share = all ? `${round((100 * count) / all)} %` : "";
    const told = status.told.lanes[id];
    const closed = told && !["OPEN", "HALF"].includes(told.status);
    return el("tr", { "data-lane": id },
      el("td", {}, laneChip(id, scene), told && el("small", { class: closed ? "bad" : null }, tellLane(told))),
      el("td", {}, el("span", { class: "meter", vars: { lane: colour }, style: { width: `${(100 * count) / most}%` } }),
        el("small", {}, [share, ...why].filter(Boolean).join(" · "))),
      el("td", {}, round(count)));
  }));
}

const tellLane = ({ status, fill }) => (fill === null ? status : `${status} ${round(fill)} %`);

export function showStages(status) {
  const stages = Object.entries(status.stages_ms).filter(([, ms]) => ms > 0.005);
  const total = stages.reduce((sum, [, ms]) => sum + ms, 0);
  $("stages").replaceChildren(...stages.map(([stage, ms]) =>
    el("span", { title: `${stage}: ${round(ms, 2)} ms`, vars: { part: PARTS[stage] ?? "#6b7680" }, style: { flex: `${ms / total} 1 0` } },
      ms / total > 0.12 ? `${stage} ${round(ms, 1)}` : "")));
}

export function showAbout(status) {
  const { info } = status;
  if (!info) return;
  const rows = [
    ["version", info.version], ["source", info.source], ["model", info.model], ["engine", info.engine], ["plan", info.plan],
    ["calibration", info.calibration ?? "none: no millimetres"],
    ["broker", status.broker.connected ? `connected, ${round(status.broker.acked)} acknowledged` : "not connected"],
    ["PLC's line state", status.told.line ? `${status.told.line.packml}, ${status.told.line.mode}` : "not told"],
    ["reconnects", `camera ${status.camera_reconnects}, broker ${status.broker.reconnects}`],
    ["run", info.boot_id],
  ];
  $("about").replaceChildren(...rows.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value ?? "–")]));
}
