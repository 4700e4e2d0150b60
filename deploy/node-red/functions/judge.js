// One answer for every decision. Only what is ACCEPTED here goes on to the ring, at most once per (boot, parcel, rev).
// In: a decision as it came (msg.payload a Buffer). Out 1: { decision, result } to acknowledge. Out 2: { decision }.
//= include shared/state.js
//= include shared/usable.js
//= include shared/deadline.js
//= include shared/forget.js
//= include shared/decision.js
const REMEMBERED = 4096;

function remember(map, key, value) {
    map.delete(key);
    map.set(key, value);
    if (map.size > REMEMBERED) map.delete(map.keys().next().value);
}

/** What two messages of one key must share; when it was published may differ in a repetition. */
function contentOf(decision) {
    return JSON.stringify({ ...decision, t_publish: null, valid_ms: null, seq: 0 });
}

function beginBoot(line, boot) {
    if (line.boot !== null) line.oldBoots.add(line.boot);
    if (line.oldBoots.size > REMEMBERED) line.oldBoots.delete(line.oldBoots.values().next().value);
    line.boot = boot;
}

function judge(line, decision) {
    if (decision.replay) return "REJECTED";
    if (line.oldBoots.has(decision.boot_id)) return "STALE_BOOT";
    if (decision.boot_id !== line.boot) beginBoot(line, decision.boot_id);
    const content = contentOf(decision);
    const known = line.known.get(decision.parcel_uid);
    if (known && decision.rev <= known.rev) {
        return decision.rev < known.rev || content === known.content ? "DUPLICATE" : "REJECTED";
    }
    if (isLate(decision, line.count)) return "LATE";
    remember(line.known, decision.parcel_uid, { rev: decision.rev, content });
    return "ACCEPTED";
}

/** Whether the PLC still has to answer the first of two equal ones; that answer will do for both. */
function isUnderWay(line, decision) {
    return [...line.waiting, ...line.slots.filter(Boolean).map((slot) => slot.decision)]
        .some((one) => one.parcel_uid === decision.parcel_uid && one.rev === decision.rev);
}

const line = lineState();
const decision = parseObject(msg.payload);
if (decision === null) return null;
if (msg.retain) return canBeAnswered(decision) ? [{ decision, result: "REJECTED" }, null] : null;
if (!isDecision(decision)) return canBeAnswered(decision) ? [{ decision, result: "BAD_SCHEMA" }, null] : null;
if (!Object.hasOwn(env.get("LANES"), decision.lane)) return [{ decision, result: "LANE_UNAVAILABLE" }, null];
const result = judge(line, decision);
if (result === "DUPLICATE" && isUnderWay(line, decision)) return null;
if (result !== "ACCEPTED") return [{ decision, result }, null];
if (!isUsable(line) || !line.connected) {
    forget(line, decision);
    return [{ decision, result: "REJECTED" }, null];
}
return [null, { decision }];
