// Eight slots of decisions that the PLC has not echoed yet. In: { decision }, { echoes } of every block, { gone }.
// Out 1: { request } to the PLC. Out 2: { decision, result } to acknowledge.
//= include shared/state.js
//= include shared/deadline.js
//= include shared/forget.js
//= include shared/decision.js
const SLOTS = 8;
const REMEMBERED = 4096;
const line = lineState();
const nowMs = uptimeMs();
const requests = [];
const answers = [];

function split(value) {
    return [(value >>> 16) & 0xffff, value & 0xffff];
}

/** The nine words that stand before the turn; 0 is an index or count that is not known. */
function wordsOf(decision) {
    return [
        ...split(decision.seq),
        (decision.plc_index ?? 0) & 0xffff,
        env.get("LANES")[decision.lane],
        ACTIONS[decision.action],
        ...split(decision.pos.lead_cnt ?? 0),
        ...split(decision.deadline.enc_cnt ?? 0),
    ];
}

function abandonAll() {
    [...line.waiting, ...line.slots.filter(Boolean).map((slot) => slot.decision)]
        .forEach((decision) => forget(line, decision));
    line.waiting = [];
    line.slots.fill(null);
    line.echoes = null;
}

/** Acknowledge what the PLC has echoed, in the order in which it was handed over. */
function hearEchoes(echoes) {
    line.echoes = echoes;
    const heard = [];
    echoes.forEach((echo, place) => {
        const slot = line.slots[place];
        if (slot && echo && echo.seqLow === (slot.decision.seq & 0xffff)) {
            line.slots[place] = null;
            heard.push({ ...slot, result: echo.result });
        }
    });
    heard.sort((a, b) => a.order - b.order);
    heard.forEach(({ decision, result }) => answers.push({ decision, result }));
}

function giveUp() {
    line.slots.forEach((slot, place) => {
        if (slot === null || nowMs < slot.untilMs) return;
        line.slots[place] = null;
        forget(line, slot.decision); // the sorter may ask again; the PLC tells repetitions by seq
        node.warn(`PLC did not answer decision ${slot.decision.seq} of ${slot.decision.parcel_uid}`);
    });
}

/** The next free slot, or undefined. Not one that still shows an older answer to this seq: it would pass for the new. */
function freeSlot(decision) {
    return Array.from({ length: SLOTS }, (_, i) => (line.nextSlot + i) % SLOTS)
        .find((place) => line.slots[place] === null && line.echoes[place]?.seqLow !== (decision.seq & 0xffff));
}

function hand(decision, place) {
    line.nextSlot = (place + 1) % SLOTS;
    const turn = (line.turns[place] % 0xffff) + 1; // 1 to 65535: 0 means that the slot was never used
    const untilMs = nowMs + Number(env.get("ECHO_MS"));
    line.turns[place] = turn;
    line.slots[place] = { decision, untilMs, order: (line.handed += 1) };
    const address = 100 + 10 * place;
    requests.push({ address, value: wordsOf(decision), untilMs }, { address: address + 9, value: [turn], untilMs });
    const seqLow = decision.seq & 0xffff;
    line.recent.delete(seqLow);
    line.recent.set(seqLow, decision);
    if (line.recent.size > REMEMBERED) line.recent.delete(line.recent.keys().next().value);
}

if (msg.gone) abandonAll();
if (msg.decision) line.waiting.push(msg.decision);
if (msg.echoes) hearEchoes(msg.echoes);
giveUp();
while (line.waiting.length && line.turns !== null && line.echoes !== null) {
    const decision = line.waiting[0];
    const place = freeSlot(decision);
    if (place === undefined) break;
    line.waiting.shift();
    if (isLate(decision, line.count)) {
        forget(line, decision);
        answers.push({ decision, result: "LATE" });
    } else {
        hand(decision, place);
    }
}
return [requests.length ? { request: requests } : null, answers];
