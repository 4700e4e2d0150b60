const ACTIONS = { DIVERT: 1, PASS: 2, RECIRC: 3, EXCEPTION: 4, CANCEL: 5 };
const MAX_BYTES = 16 * 1024;

function isUInt32(value) {
    return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

function isName(value) {
    return typeof value === "string" && value.length >= 1 && value.length <= 256;
}

function isCount(value) {
    return value === undefined || value === null || Number.isSafeInteger(value);
}

/** The fields that an answer needs; without them nobody can be answered. */
function canBeAnswered(data) {
    return isName(data.boot_id) && isUInt32(data.seq) && isName(data.parcel_uid) && isUInt32(data.rev);
}

/** Return the object in a payload, or null when it is none that we read. Never throws. */
function parseObject(payload) {
    if (!Buffer.isBuffer(payload) || payload.length > MAX_BYTES) return null;
    const text = payload.toString("utf8");
    if (!Buffer.from(text, "utf8").equals(payload)) return null; // not UTF-8
    try {
        const data = JSON.parse(text);
        return typeof data === "object" && data !== null && !Array.isArray(data) ? data : null;
    } catch (error) {
        return null;
    }
}

/** Whether everything that we act on is there and right. Fields that we do not know are left alone. */
function isDecision(data) {
    return /^edge_sorter\.decision\/1(\.\d{1,9})?$/.test(data.schema) && canBeAnswered(data)
        && isName(data.lane) && Object.hasOwn(ACTIONS, data.action) && typeof data.replay === "boolean"
        && typeof data.pos === "object" && data.pos !== null && isCount(data.pos.lead_cnt)
        && (data.plc_index === undefined || data.plc_index === null || isUInt32(data.plc_index))
        && typeof data.deadline === "object" && data.deadline !== null && isCount(data.deadline.enc_cnt)
        && typeof data.deadline.ts === "string" && data.deadline.ts.endsWith("Z")
        && !Number.isNaN(Date.parse(data.deadline.ts));
}
