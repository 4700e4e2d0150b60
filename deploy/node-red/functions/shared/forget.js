/** Take an ACCEPTED back: the PLC never got it, so a repetition may try again. */
function forget(line, decision) {
    const known = line.known.get(decision.parcel_uid);
    if (known && known.rev === decision.rev) {
        line.known.delete(decision.parcel_uid);
    }
}
