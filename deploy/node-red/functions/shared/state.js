/** What the nodes of this flow share. It lives in memory: a restart begins anew, and the PLC tells repetitions by seq. */
function lineState() {
    let line = flow.get("line");
    if (!line) {
        line = {
            boot: null, oldBoots: new Set(), known: new Map(),               // what was judged
            state: "OFFLINE", sorterN: null, sorterHeardMs: null,            // what the sorter says
            broker: false, told: {},                                         // retained messages as last told
            connected: false, count: null, plcHeartbeat: null, plcMovedMs: null, confirmTurns: null,
            turns: null, echoes: null, slots: Array(8).fill(null), nextSlot: 0, handed: 0, waiting: [], recent: new Map(),
            port: { queue: [], busy: null, id: 0, retryMs: 0, failures: 0 },
            beats: 0, answered: {},
        };
        flow.set("line", line);
    }
    return line;
}

/** Milliseconds on a clock that nobody sets; wall time is only for deadlines and timestamps. */
function uptimeMs() {
    return perf_hooks.performance.now();
}
