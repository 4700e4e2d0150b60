/** Whether a deadline has passed: by encoder count where both sides have one (clocks may be wrong), else by the clock. */
function isLate(decision, count) {
    const deadline = decision.deadline;
    if (Number.isInteger(deadline.enc_cnt) && count !== null) {
        return ((deadline.enc_cnt - count) | 0) < 0; // | 0 makes it int32, so the counter may wrap
    }
    return Date.now() > Date.parse(deadline.ts);
}
