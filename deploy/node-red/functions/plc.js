// What the PLC says: encoder, line and lanes, answers and confirmations. In: { words }, its 63 registers from 40290 on.
// Out 1: { echoes } to the ring. Out 2: to the sorter.
//= include shared/state.js
const RESULTS = [null, "ACCEPTED", "DUPLICATE", "LATE", "UNKNOWN_PARCEL", "LANE_UNAVAILABLE", "REJECTED"];
const CONFIRMS = [
    null, "VERIFIED", "MISSORT", "ABORT_FULL", "ABORT_GAP", "MISSED", "LOST", "JAM", "FLUSHED", "RECIRC",
];
const PACKML = [ // state numbers of ANSI/ISA-TR88.00.02
    null, "CLEARING", "STOPPED", "STARTING", "IDLE", "SUSPENDED", "EXECUTE", "STOPPING", "ABORTING", "ABORTED",
    "HOLDING", "HELD", "UNHOLDING", "SUSPENDING", "UNSUSPENDING", "RESETTING", "COMPLETING", "COMPLETE",
];
const ECHO = 11; // 40301
const CONFIRM = 31; // 40321
const line = lineState();
const lanes = env.get("LANES");
const words = msg.words;
const ts = new Date().toISOString();
const told = [];

function publish(below, message, qos, retain) {
    told.push({ topic: `${env.get("PREFIX")}/${below}`, payload: JSON.stringify(message), qos, retain });
}

/** Publish a retained message when it says something new. */
function tell(below, message) {
    const text = JSON.stringify(message);
    if (!line.broker || line.told[below] === text) return;
    line.told[below] = text;
    publish(below, message, 1, true);
}

function confirm(entry) {
    const decision = line.recent.get(entry.seqLow);
    if (!decision) return;
    const lane = Object.keys(lanes).find((name) => lanes[name] === entry.lane);
    publish("plc/confirm", {
        schema: "edge_sorter.confirm/1",
        parcel_uid: decision.parcel_uid,
        plc_index: decision.plc_index ?? undefined,
        lane_cmd: decision.lane,
        lane_act: lane,
        result: entry.result,
        enc_cnt: line.count,
        ts,
    }, 1, false);
}

function hearConfirms() {
    const entries = Array.from({ length: 8 }, (_, i) => words.slice(CONFIRM + 4 * i, CONFIRM + 4 * i + 4))
        .map(([seqLow, lane, result, turn]) => ({ seqLow, lane, result: CONFIRMS[result], turn }));
    const turns = entries.map((entry) => (entry.result ? entry.turn : 0));
    const before = line.confirmTurns ?? turns; // what stood there before we came is an old story
    line.confirmTurns = turns;
    entries.filter((entry, i) => turns[i] !== 0 && turns[i] !== before[i]).forEach(confirm);
}

if (words[0] !== line.plcHeartbeat) {
    line.plcHeartbeat = words[0];
    line.plcMovedMs = uptimeMs();
}
line.count = words[2] * 0x10000 + words[3];
hearConfirms();
publish("plc/enc", {
    schema: "edge_sorter.enc/1", cnt: line.count, mm_per_cnt: Number(env.get("MM_PER_COUNT")), ts,
}, 0, false);
if (PACKML[words[1]]) tell("plc/line/state", { schema: "edge_sorter.line/1", packml: PACKML[words[1]] });
for (const [lane, number] of Object.entries(lanes)) {
    const full = number >= 1 && number <= 64 && (words[4 + ((number - 1) >> 4)] >> ((number - 1) & 15)) & 1;
    tell(`plc/lane/${lane}/state`, { schema: "edge_sorter.lane/1", lane, state: full ? "FULL" : "OPEN" });
}
const echoes = Array.from({ length: 8 }, (_, i) => words.slice(ECHO + 2 * i, ECHO + 2 * i + 2))
    .map(([seqLow, result]) => (RESULTS[result] ? { seqLow, result: RESULTS[result] } : null));
return [{ echoes }, told];
