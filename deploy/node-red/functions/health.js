// Ten times a second: our heartbeat and what the sorter can do to the PLC, and the PLC's own heartbeat to the sorter.
// Out 1: { request } to the PLC. Out 2: to the sorter, only while the PLC's program runs.
//= include shared/state.js
//= include shared/usable.js
const NUMBERS = { OFFLINE: 0, STARTING: 1, READY: 2, RUNNING: 3, DEGRADED: 4, HOLD: 5 };
const ADDRESS = 180; // 40181
const PERIOD_MS = 100;
const PLC_SILENT_MS = 500;
const line = lineState();
const nowMs = uptimeMs();
const usable = isUsable(line);

function shownState() {
    const silentMs = line.sorterHeardMs === null ? Infinity : nowMs - line.sorterHeardMs;
    if (silentMs > Number(env.get("HOLD_AFTER_MS"))) return line.state === "OFFLINE" ? "OFFLINE" : "HOLD";
    if (silentMs > Number(env.get("DEGRADED_AFTER_MS")) && line.state === "RUNNING") return "DEGRADED";
    return line.state;
}

line.beats += 1;
const value = [line.beats & 0xffff, NUMBERS[shownState()], usable ? 1 : 0];
const request = line.connected ? { request: [{ address: ADDRESS, value, untilMs: nowMs + PERIOD_MS }] } : null;
if (line.plcMovedMs === null || nowMs - line.plcMovedMs > PLC_SILENT_MS) return [request, null];
const beat = {
    schema: "edge_sorter.plc_hb/1",
    n: line.beats,
    peer_n: line.sorterN ?? undefined,
    mode: usable ? "PRODUCTION" : "HOLD",
    ts: new Date().toISOString(),
};
return [request, { topic: `${env.get("PREFIX")}/plc/hb`, payload: JSON.stringify(beat), qos: 0, retain: false }];
