/** Whether the PLC may act on decisions: the sorter lives, says so, and we hear it. */
function isUsable(line) {
    return line.broker && ["RUNNING", "DEGRADED"].includes(line.state)
        && line.sorterHeardMs !== null && uptimeMs() - line.sorterHeardMs <= Number(env.get("HOLD_AFTER_MS"));
}
