// One Modbus request at a time, in order, so that a slot's turn is never written before its nine words are in place.
// In: { request }, { tick }, what the Modbus nodes answer (with our id), or their errors ({ error }).
// Out 1: to read. Out 2: to write. Out 3: the PLC's block. Out 4: { gone }, when the PLC does not answer.
//= include shared/state.js
const RING = { address: 100, quantity: 80 }; // 40101: only looked at to learn the turns
const BLOCK = { address: 289, quantity: 63 }; // 40290: all that the PLC writes, in one piece
const RETRY_MS = 500;
const TELL_AFTER = 5; // failures in a row: when Node-RED starts, the connection is not there at once
const line = lineState();
const port = line.port;
const nowMs = uptimeMs();
const out = [null, null, null, null];

function lose(why) {
    port.failures += 1;
    if (line.connected || port.failures === TELL_AFTER) node.warn(`PLC: ${why}`);
    node.status({ fill: "red", shape: "ring", text: why });
    line.connected = false;
    line.count = null;
    line.turns = null; // a PLC that restarted may have cleared its ring
    port.queue = []; // never write an old decision into a PLC that comes back
    port.busy = null;
    port.retryMs = nowMs + RETRY_MS;
    out[3] = { gone: true };
}

function take(words) {
    if (port.busy.request.address === RING.address && port.busy.reads) {
        line.turns = Array.from({ length: 8 }, (_, slot) => words[10 * slot + 9]);
    } else if (port.busy.reads) {
        if (!line.connected) node.status({ fill: "green", shape: "dot", text: "PLC answers" });
        line.connected = true;
        port.failures = 0;
        out[2] = { words };
    }
    port.busy = null;
}

function ask(request, reads) {
    port.busy = { id: (port.id += 1), request, reads, untilMs: nowMs + Number(env.get("TIMEOUT_MS")) };
    const payload = {
        fc: reads ? 3 : 16,
        unitid: Number(env.get("UNIT")),
        address: Number(env.get("BASE")) + request.address,
        quantity: reads ? request.quantity : request.value.length,
    };
    if (!reads) payload.value = request.value;
    out[reads ? 0 : 1] = { portId: port.busy.id, payload };
}

if (msg.request) {
    port.queue.push(...msg.request);
} else if (msg.error) {
    if (port.busy) lose(String(msg.error.message ?? msg.error).slice(0, 120));
} else if (port.busy && msg.portId === port.busy.id) {
    const words = msg.payload;
    const complete = !port.busy.reads || (Array.isArray(words) && words.length === port.busy.request.quantity);
    if (complete) take(words);
    else lose("it answers something else than was asked");
}
if (port.busy && nowMs > port.busy.untilMs) lose(`no answer within ${env.get("TIMEOUT_MS")} ms`);
if (!port.busy && nowMs >= port.retryMs) {
    port.queue = port.queue.filter((request) => nowMs < request.untilMs);
    if (port.queue.length && line.connected) {
        ask(port.queue.shift(), false);
    } else if (msg.tick) {
        ask(line.turns === null ? RING : BLOCK, true);
    }
}
return out;
