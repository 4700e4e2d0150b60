// What the sorter says of itself: its state, which the broker keeps, and its heartbeat, which must be fresh.
//= include shared/state.js
//= include shared/decision.js
const STATES = ["OFFLINE", "STARTING", "READY", "RUNNING", "DEGRADED", "HOLD"];
const line = lineState();
const data = parseObject(msg.payload);
if (data === null) return null;
if (/^edge_sorter\.state\/1(\.\d{1,9})?$/.test(data.schema) && STATES.includes(data.state)) {
    line.state = data.state;
    const fill = ["RUNNING", "DEGRADED"].includes(data.state) ? "green" : "yellow";
    node.status({ fill, shape: "dot", text: `${data.state} ${data.cause ?? ""}`.trim() });
} else if (/^edge_sorter\.hb\/1(\.\d{1,9})?$/.test(data.schema) && Number.isSafeInteger(data.n) && !msg.retain) {
    line.sorterN = data.n;
    line.sorterHeardMs = uptimeMs();
}
return null;
