// Say on plc/ack what became of a decision. In: { decision, result }.
//= include shared/state.js
const line = lineState();
const { decision, result } = msg;
line.answered[result] = (line.answered[result] ?? 0) + 1;
node.status({ text: Object.entries(line.answered).map(([word, count]) => `${word} ${count}`).join(", ") });
const answer = {
    schema: "edge_sorter.ack/1",
    boot_id: decision.boot_id,
    seq: decision.seq,
    parcel_uid: decision.parcel_uid,
    rev: decision.rev,
    result,
    plc_index: Number.isInteger(decision.plc_index) ? decision.plc_index : undefined,
    enc_cnt: line.count ?? undefined,
    ts: new Date().toISOString(),
};
return { topic: `${env.get("PREFIX")}/plc/ack`, payload: JSON.stringify(answer), qos: 1, retain: false };
